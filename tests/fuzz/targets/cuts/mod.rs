/// Splits an input into a rest and pieces of the rest's copy: the first byte
/// says how many bytes, each giving the length of a piece, come before the
/// rest, which is whole in the first result and in pieces in the second.
pub fn whole_and_pieces(data: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let (&count, data) = data.split_first()?;
    let (cuts, whole) = data.split_at_checked(usize::from(count % 16))?;
    let mut rest = whole;
    let mut pieces = Vec::new();
    for &cut in cuts {
        let (piece, behind) = rest.split_at(rest.len().min(cut.into()));
        pieces.push(piece.to_vec());
        rest = behind;
    }
    pieces.push(rest.to_vec());
    Some((whole.to_vec(), pieces))
}
