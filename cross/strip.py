#!/usr/bin/env python3
"""Cuts a static ELF program down to what is loaded: strip.py PROGRAM

A linker's strip leaves the section headers and, on MIPS, .pdr (32 bytes for
every function of libc and Rust), which nothing on a router reads.
"""

import struct
import sys
from pathlib import Path


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = Path(sys.argv[1])
    path.write_bytes(loaded_part(path.read_bytes()))


def loaded_part(elf):
    if elf[:4] != b"\x7fELF":
        sys.exit("not an ELF file")
    wide = elf[4] == 2
    order = "<" if elf[5] == 1 else ">"
    # Elf64_Ehdr and Elf32_Ehdr differ in the width of three fields only.
    header = struct.Struct(order + ("16sHHIQQQIHHHHHH" if wide else "16sHHIIIIIHHHHHH"))
    fields = list(header.unpack_from(elf))
    segments, segment_size, segment_count = fields[5], fields[9], fields[10]

    end = segments + segment_size * segment_count
    for number in range(segment_count):
        at = segments + segment_size * number
        if wide:
            (offset,) = struct.unpack_from(order + "Q", elf, at + 8)
            (length,) = struct.unpack_from(order + "Q", elf, at + 32)
        else:
            (offset,) = struct.unpack_from(order + "I", elf, at + 4)
            (length,) = struct.unpack_from(order + "I", elf, at + 16)
        end = max(end, offset + length)
    # Section header offset, count and string table: none.
    fields[6] = fields[12] = fields[13] = 0
    return header.pack(*fields) + elf[header.size : end]


main()
