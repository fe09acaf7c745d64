//! Marker segments.

use super::color::ColorModel;
use super::huffman::Table;
use super::scan::{Scan, ZIGZAG};
use super::{Component, Fault, Tables};

/// One marker and what belongs to it.
pub(super) struct Segment<'a> {
    pub(super) marker: u8,
    pub(super) body: &'a [u8],
    /// Where the next marker, or a scan's data, begins.
    pub(super) end: usize,
}

/// The segment at `at`, after anything that is no marker; `None` at the end of the bytes.
pub(super) fn segment(bytes: &[u8], mut at: usize) -> Result<Option<Segment<'_>>, Fault> {
    loop {
        let Some(&[first, marker]) = bytes.get(at..at + 2) else { return Ok(None) };
        match (first, marker) {
            (0xff, 0x01 | 0xd0..=0xd8) => at += 2,
            (0xff, 0xd9) => return Ok(Some(Segment { marker, body: &[], end: at + 2 })),
            (0xff, 0x02..=0xfe) => break,
            _ => at += 1,
        }
    }
    let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return Err(Fault::CutOff) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len < 2 {
        return Err(Fault::Damaged("a segment is shorter than its own length"));
    }
    let end = at + 2 + len;
    let body = bytes.get(at + 4..end).ok_or(Fault::CutOff)?;
    Ok(Some(Segment { marker: bytes[at + 1], body, end }))
}

/// What the frame header says of one colour.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: u8,
    pub(super) sampling: (usize, usize),
    pub(super) quant_table: usize,
}

/// What is known before the first scan.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) progressive: bool,
    pub(super) parts: heapless::Vec<Part, 4>,
    pub(super) model: ColorModel,
    pub(super) exif: Option<&'a [u8]>,
}

impl<'a> Header<'a> {
    /// Reads up to the first scan.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (mut exif, mut jfif, mut adobe) = (None, false, None);
        let mut found: Option<(bool, &[u8])> = None;
        let mut at = 2;
        while let Some(Segment { marker, body, end }) = segment(bytes, at)? {
            at = end;
            match marker {
                0xc0..=0xc2 if found.is_some() => return Err(Fault::Damaged("two frame headers")),
                0xc0..=0xc2 => found = Some((marker == 0xc2, body)),
                0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                    return Err(Fault::Unsupported("lossless or hierarchical coding"));
                }
                0xc9 | 0xca => return Err(Fault::Unsupported("arithmetic coding")),
                0xe0 => jfif |= body.starts_with(b"JFIF\0"),
                0xe1 if exif.is_none() => exif = body.strip_prefix(b"Exif\0\0"),
                0xee if body.starts_with(b"Adobe") => adobe = body.get(11).copied().or(adobe),
                0xd9 => return Err(Fault::Damaged("it has no picture")),
                0xda => {
                    let (progressive, body) =
                        found.ok_or(Fault::Damaged("the frame header is missing"))?;
                    return Self::frame(body, progressive, exif, jfif, adobe);
                }
                _ => {}
            }
        }
        Err(Fault::CutOff)
    }

    fn frame(
        body: &[u8],
        progressive: bool,
        exif: Option<&'a [u8]>,
        jfif: bool,
        adobe: Option<u8>,
    ) -> Result<Self, Fault> {
        const SHORT: Fault = Fault::Damaged("the frame header has the wrong length");
        let &[bits, h1, h0, w1, w0, count, ref list @ ..] = body else { return Err(SHORT) };
        if bits != 8 {
            return Err(Fault::Unsupported("other than 8 bits a colour"));
        }
        let (list, rest) = list.as_chunks::<3>();
        if list.len() != usize::from(count) || !rest.is_empty() {
            return Err(SHORT);
        }
        let mut parts = heapless::Vec::new();
        for &[id, sampling, quant_table] in list {
            let sampling = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if !(1..=4).contains(&sampling.0) || !(1..=4).contains(&sampling.1) || quant_table > 3 {
                return Err(Fault::Damaged("the frame header is impossible"));
            }
            let part = Part { id, sampling, quant_table: usize::from(quant_table) };
            parts.push(part).map_err(|_| Fault::Unsupported("more than 4 colours"))?;
        }
        let ids: heapless::Vec<u8, 4> = parts.iter().map(|part: &Part| part.id).collect();
        // libjpeg's guesses, in its order.
        let model = match (ids.as_slice(), adobe) {
            ([_], _) => ColorModel::Grey,
            ([_, _, _], _) if jfif => ColorModel::YCbCr,
            ([_, _, _], Some(0)) => ColorModel::Rgb,
            ([_, _, _], Some(_)) => ColorModel::YCbCr,
            ([b'R', b'G', b'B'], None) => ColorModel::Rgb,
            ([_, _, _], None) => ColorModel::YCbCr,
            ([_, _, _, _], Some(2)) => ColorModel::Ycck,
            ([_, _, _, _], _) => ColorModel::Cmyk,
            _ => return Err(Fault::Unsupported("2 colours")),
        };
        let number = |high, low| usize::from(u16::from_be_bytes([high, low]));
        let (width, height) = (number(w1, w0), number(h1, h0));
        let header = Self { width, height, progressive, parts, model, exif };
        let (most_h, most_v) = header.most();
        let fits = |part: &Part| {
            most_h.is_multiple_of(part.sampling.0) && most_v.is_multiple_of(part.sampling.1)
        };
        if !header.parts.iter().all(fits) {
            return Err(Fault::Unsupported("colours sampled at broken ratios"));
        }
        Ok(header)
    }

    /// The biggest sampling factors.
    pub(super) fn most(&self) -> (usize, usize) {
        let most = |factor: fn(&Part) -> usize| self.parts.iter().map(factor).max().unwrap_or(1);
        (most(|part| part.sampling.0), most(|part| part.sampling.1))
    }

    /// Size in MCUs.
    pub(super) fn mcus(&self) -> (usize, usize) {
        let (most_h, most_v) = self.most();
        (self.width.div_ceil(most_h * 8), self.height.div_ceil(most_v * 8))
    }

    /// Reads a scan header.
    pub(super) fn scan(
        &self,
        body: &[u8],
        components: &[Component],
        restart: usize,
    ) -> Result<Scan, Fault> {
        const BAD: Fault = Fault::Damaged("a scan header is impossible");
        let (&count, rest) = body.split_first().ok_or(BAD)?;
        let (list, rest) = rest.split_at_checked(usize::from(count) * 2).ok_or(BAD)?;
        let &[first, last, approximation] = rest else { return Err(BAD) };
        let mut parts = heapless::Vec::<(usize, usize, usize), 4>::new();
        for &[id, tables] in list.as_chunks::<2>().0 {
            let index = components.iter().position(|component| component.id == id).ok_or(BAD)?;
            if parts.iter().any(|&(other, ..)| other == index) || tables & 0xcc != 0 {
                return Err(BAD);
            }
            let part = (index, usize::from(tables >> 4), usize::from(tables & 15));
            parts.push(part).map_err(|_| BAD)?;
        }
        let (high, low) = (u32::from(approximation >> 4), u32::from(approximation & 15));
        let band = (usize::from(first), usize::from(last));
        // A progressive scan has the brightness alone, or a band of one colour.
        let band_ok = if first == 0 { last == 0 } else { first <= last && parts.len() == 1 };
        let possible = band_ok && last < 64 && low <= 13 && high <= 13;
        if parts.is_empty() || self.progressive && !possible {
            return Err(BAD);
        }
        let (progressive, mcus) = (self.progressive, self.mcus());
        Ok(Scan { parts, band, bits: (high, low), progressive, restart, mcus })
    }
}

/// Reads quantization tables into natural order.
pub(super) fn quantization(
    mut body: &[u8],
    tables: &mut [Option<[u16; 64]>; 4],
) -> Result<(), Fault> {
    const BAD: Fault = Fault::Damaged("a quantization table is impossible");
    while let Some((&kind, rest)) = body.split_first() {
        let bytes = match kind >> 4 {
            0 => 1,
            1 => 2,
            _ => return Err(BAD),
        };
        let (values, rest) = rest.split_at_checked(64 * bytes).ok_or(BAD)?;
        let table = tables.get_mut(usize::from(kind & 15)).ok_or(BAD)?.insert([0; 64]);
        for (&place, value) in ZIGZAG.iter().zip(values.chunks_exact(bytes)) {
            table[usize::from(place)] =
                value.iter().fold(0, |number, &byte| number << 8 | u16::from(byte));
        }
        body = rest;
    }
    Ok(())
}

/// Reads Huffman tables.
pub(super) fn huffman(mut body: &[u8], tables: &mut Tables) -> Result<(), Fault> {
    const BAD: Fault = Fault::Damaged("a Huffman table is impossible");
    while let Some((&kind, rest)) = body.split_first() {
        let (counts, rest) = rest.split_first_chunk::<16>().ok_or(BAD)?;
        let count = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(count).ok_or(BAD)?;
        let group = match kind >> 4 {
            0 => &mut tables.dc,
            1 => &mut tables.ac,
            _ => return Err(BAD),
        };
        let table = group.get_mut(usize::from(kind & 15)).ok_or(BAD)?;
        *table = Some(Table::new(counts, symbols)?);
        body = rest;
    }
    Ok(())
}

/// Reads how many MCUs lie between restart markers.
pub(super) fn restart_interval(body: &[u8]) -> Result<usize, Fault> {
    match body {
        &[high, low] => Ok(usize::from(u16::from_be_bytes([high, low]))),
        _ => Err(Fault::Damaged("the restart interval has the wrong length")),
    }
}
