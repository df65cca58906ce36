def rows(_):
    return []
