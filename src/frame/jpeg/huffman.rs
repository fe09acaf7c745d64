use super::Fault;

/// Bits of a code that one look-up resolves.
const FAST_BITS: u32 = 9;

/// A Huffman table in the form that decoding wants.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// By the next [`FAST_BITS`] bits: length of the code and its symbol; length 0 for longer ones.
    fast: [(u8, u8); 1 << FAST_BITS],
    /// By length: the first code that is too big for it, left-aligned in 16 bits.
    limit: [u32; 18],
    /// By length: what to add to a code to get its symbol's place.
    offset: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// From the counts of codes of length 1 to 16 and their symbols, as a DHT segment has them.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let mut table = Self {
            fast: [(0, 0); 1 << FAST_BITS],
            limit: [0; 18],
            offset: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut place) = (0u32, 0usize);
        for (length, &count) in (1..=16u32).zip(counts) {
            table.offset[length as usize] = place as i32 - code as i32;
            for _ in 0..count {
                let Some(&symbol) = symbols.get(place) else { return Err(BROKEN) };
                if code >= 1 << length {
                    return Err(BROKEN);
                }
                if length <= FAST_BITS {
                    let first = (code << (FAST_BITS - length)) as usize;
                    let same = 1 << (FAST_BITS - length);
                    table.fast[first..first + same].fill((length as u8, symbol));
                }
                (code, place) = (code + 1, place + 1);
            }
            table.limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }
}

const BROKEN: Fault = Fault::Damaged("a Huffman table is impossible");

/// The tables of the standard (K.3 to K.6), for the cameras whose JPEGs leave them out: DC and AC
/// of the first (brightness) and the second (colour) kind.
pub(super) fn standard() -> Result<[[Option<Table>; 4]; 2], Fault> {
    let table = |counts, symbols| Table::new(counts, symbols).map(Some);
    Ok([
        [table(&DC_COUNTS[0], &DC_SYMBOLS)?, table(&DC_COUNTS[1], &DC_SYMBOLS)?, None, None],
        [table(&AC_COUNTS[0], &AC_SYMBOLS[0])?, table(&AC_COUNTS[1], &AC_SYMBOLS[1])?, None, None],
    ])
}

const DC_COUNTS: [[u8; 16]; 2] = [
    [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0],
    [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0],
];
const DC_SYMBOLS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_COUNTS: [[u8; 16]; 2] = [
    [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 125],
    [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 119],
];
#[rustfmt::skip]
const AC_SYMBOLS: [[u8; 162]; 2] = [
    [
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51,
        0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1,
        0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
        0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
        0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57,
        0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
        0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92,
        0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
        0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8,
        0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2,
        0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
    [
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07,
        0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09,
        0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25,
        0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38,
        0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56,
        0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74,
        0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
        0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
        0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
        0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6,
        0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2,
        0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
    ],
];

/// Reads bits of entropy-coded data, most significant first, up to the next marker.
#[derive(Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, left-aligned.
    bits: u64,
    /// How many of them there are.
    count: u32,
    /// How many of those are zeros invented beyond the end.
    invented: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, bits: 0, count: 0, invented: 0 }
    }

    fn refill(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xff, 0x00, ..]) => {
                    self.at += 2;
                    0xff
                }
                None | Some([] | [0xff, ..]) => {
                    self.invented += 8;
                    0
                }
                Some(&[byte, ..]) => {
                    self.at += 1;
                    byte
                }
            };
            self.bits |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    fn drop(&mut self, count: u32) {
        self.bits <<= count;
        self.count -= count;
    }

    /// The next symbol of `table`.
    pub(super) fn symbol(&mut self, table: &Table) -> Result<u8, Fault> {
        if self.count < 16 {
            self.refill();
        }
        let (length, symbol) = table.fast[(self.bits >> (64 - FAST_BITS)) as usize];
        if length != 0 {
            self.drop(u32::from(length));
            return Ok(symbol);
        }
        let code = (self.bits >> 48) as u32;
        let length = (FAST_BITS as usize + 1..=16).find(|&length| code < table.limit[length]);
        let Some(length) = length else {
            return Err(Fault::Damaged("its data holds an impossible code"));
        };
        self.drop(length as u32);
        let place = (code >> (16 - length)) as i32 + table.offset[length];
        let symbol = usize::try_from(place).ok().and_then(|place| table.symbols.get(place));
        symbol.copied().ok_or(Fault::Damaged("its data holds an impossible code"))
    }

    /// The next `count` bits (at most 16) as a number.
    pub(super) fn take(&mut self, count: u32) -> i32 {
        if count == 0 {
            return 0;
        }
        if self.count < count {
            self.refill();
        }
        let value = (self.bits >> (64 - count)) as i32;
        self.drop(count);
        value
    }

    /// The next `count` bits (at most 16) as a signed number in JPEG's way.
    pub(super) fn signed(&mut self, count: u32) -> i32 {
        let value = self.take(count);
        if count > 0 && value < 1 << (count - 1) { value - (1 << count) + 1 } else { value }
    }

    /// Refuses data that ended before the bits that were taken from it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.invented > self.count { Err(Fault::CutOff) } else { Ok(()) }
    }

    /// Takes the restart marker that has to follow.
    pub(super) fn restart(&mut self) -> Result<(), Fault> {
        self.check()?;
        let at = self.marker();
        match self.bytes.get(at..at + 2) {
            Some([0xff, 0xd0..=0xd7]) => *self = Self::new(self.bytes, at + 2),
            Some(_) => return Err(Fault::Damaged("a restart marker is missing")),
            None => return Err(Fault::CutOff),
        }
        Ok(())
    }

    /// Where the data ends: at the next marker.
    pub(super) fn marker(&self) -> usize {
        let mut at = self.at;
        while let Some(&[first, second]) = self.bytes.get(at..at + 2) {
            if first == 0xff && second != 0x00 && second != 0xff {
                return at;
            }
            at += 1;
        }
        self.bytes.len()
    }
}
