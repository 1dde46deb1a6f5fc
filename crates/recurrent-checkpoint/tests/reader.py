"""python3 reader.py FILE... prints a line of JSON a file: its content, or what is wrong with it; then it exits with 1.

Written from docs/checkpoint-format.md alone, so it is that page's test. Steps are numbered as there."""
import json
import math
import struct
import sys
import zlib

MAJOR, MINOR, PREAMBLE, ALIGNMENT = 1, 0, 36, 64
GREATEST_HEADER, MOST_ENTRIES, MOST_DIMENSIONS, MOST_BYTES = 1 << 24, 16384, 16, (1 << 64) - 1
ELEMENTS = {1: ("f32", "f"), 2: ("f64", "d"), 3: ("u8", "B"), 4: ("u32", "I"), 5: ("u64", "Q")}

def require(condition, problem):
    if not condition:
        raise ValueError(problem)

class Header:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(count <= len(self.data) - self.at, "the header ends inside a field")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code):
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self):
        return self.take(self.number("Q")).decode("utf-8")  # A UnicodeDecodeError is a ValueError.

    def items(self, most, item):
        count = self.number("Q")
        require(count <= most, f"a list of {count} items")
        return [item() for _ in range(count)]

    def entry(self):
        name, element, shape = self.string(), self.number("I"), self.items(MOST_DIMENSIONS, lambda: self.number("Q"))
        return name, element, shape, self.number("Q"), self.number("Q"), self.number("I")

def require_ascending(names):
    names = [name.encode("utf-8") for name in names]
    require(all(a < b for a, b in zip(names, names[1:])), "names are not ascending")

def read(data):
    require(data and data[:8] == b"\x89RNN\r\n\x1a\n"[: len(data)], "not a checkpoint")  # 1
    require(len(data) >= PREAMBLE, "truncated")
    major, minor, critical, header_length, file_length, checksum = struct.unpack("<HHIQQI", data[8:PREAMBLE])
    require(major <= MAJOR, f"version {major}.{minor}; this reader knows {MAJOR}.{MINOR}")  # 2
    require(zlib.crc32(data[:32]) == checksum and major > 0, "checksum of the preamble")  # 3
    require(critical == 0, f"critical flags {critical:#x}")
    require(file_length == len(data), f"{len(data)} bytes of {file_length}")  # 4
    require(header_length <= GREATEST_HEADER, f"a header of {header_length} bytes")
    end = PREAMBLE + header_length + 4
    require(end <= len(data), "the header is longer than the file")
    header = Header(data[PREAMBLE : end - 4])
    require(zlib.crc32(header.data) == struct.unpack("<I", data[end - 4 : end])[0], "checksum of the header")  # 5
    kind = header.string()  # 6
    metadata = header.items(MOST_ENTRIES, lambda: (header.string(), header.string()))
    entries = header.items(MOST_ENTRIES, header.entry)
    require(minor > MINOR or header.at == header_length, "bytes behind the last field of the header")
    require_ascending([key for key, _ in metadata])  # 7
    require_ascending([entry[0] for entry in entries])
    sections = []
    for name, element, shape, offset, length, checksum in entries:
        require(element in ELEMENTS, f"{name}: element type {element}")
        type_name, code = ELEMENTS[element]
        size = 1
        for factor in shape + [struct.calcsize("<" + code)]:
            size *= factor
            require(size <= MOST_BYTES, f"{name}: its shape does not fit in 64 bits")
        require(size == length, f"{name}: {length} bytes, its shape needs {size}")
        require(offset == -(-end // ALIGNMENT) * ALIGNMENT, f"{name}: at {offset}, out of place")
        require(offset + length <= len(data), f"{name}: ends behind the file")
        require(not any(data[end:offset]), f"{name}: no zeros from {end} to {offset}")  # 8
        content, end = data[offset : offset + length], offset + length
        require(zlib.crc32(content) == checksum, f"{name}: checksum")
        values = [number for (number,) in struct.iter_unpack("<" + code, content)]
        values = [number if math.isfinite(number) else str(number) for number in values]
        sections.append({"name": name, "type": type_name, "shape": shape, "values": values, "bytes": content.hex()})
    require(end == len(data), "bytes behind the last section")
    return {"kind": kind, "metadata": dict(metadata), "sections": sections}

status = 0
for path in sys.argv[1:]:
    try:
        with open(path, "rb") as file:
            print(json.dumps(read(file.read())))
    except (OSError, ValueError) as error:
        status = 1
        print(json.dumps({"refused": str(error)}))
sys.exit(status)
