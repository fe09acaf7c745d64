//! JPEG, decoded to the very pixels of libjpeg-turbo and so of PIL.
//!
//! Libraries in Rust round the inverse DCT, the chroma upsampling or the colours in their own
//! ways: after resizing, pixels differ by up to 5/255 from PIL's. Read are sequential and
//! progressive Huffman-coded pictures of 8 bits, grey, RGB, YCbCr, CMYK and YCCK.

mod color;
mod header;
mod huffman;
mod idct;
mod scan;

use self::header::Header;
use self::huffman::Table;
use super::{Frame, FrameError, limits};

/// Scans of one picture: a progressive one has about ten, an attack has thousands.
const MAX_SCANS: usize = 256;

/// Whether the bytes begin as a JPEG.
pub(super) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xd8, 0xff])
}

/// Why a JPEG cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Damaged(&'static str),
    CutOff,
    Unsupported(&'static str),
}

impl Fault {
    fn named(self, name: &str) -> FrameError {
        match self {
            Self::Damaged(what) => FrameError::damaged(name, format!("broken JPEG: {what}")),
            Self::CutOff => FrameError::damaged(name, "the JPEG is cut off"),
            Self::Unsupported(what) => FrameError::Unsupported {
                name: name.into(),
                reason: format!("a JPEG with {what}"),
                remedy: "save it as an ordinary JPEG (baseline or progressive, 8 bits) or as PNG",
            },
        }
    }
}

/// The Huffman and quantization tables in force.
#[derive(Debug, Default)]
struct Tables {
    dc: [Option<Table>; 4],
    ac: [Option<Table>; 4],
    quant: [Option<[u16; 64]>; 4],
}

/// One colour of the picture.
#[derive(Debug)]
struct Component {
    id: u8,
    /// Blocks of an MCU, across and down.
    sampling: (usize, usize),
    quant_table: usize,
    /// Taken over when the component's first scan begins.
    quant: [u16; 64],
    seen: bool,
    /// Size in samples and in blocks, without the padding to whole MCUs.
    width: usize,
    height: usize,
    blocks: (usize, usize),
    /// Samples of a row with padding.
    stride: usize,
    samples: Vec<u8>,
    /// Of a progressive picture, 64 a block, rows of `stride / 8` blocks.
    coefficients: Vec<i16>,
}

impl Component {
    /// Without memory; its picture's header says the rest.
    fn new() -> Self {
        Self {
            id: 0,
            sampling: (1, 1),
            quant_table: 0,
            quant: [0; 64],
            seen: false,
            width: 0,
            height: 0,
            blocks: (0, 0),
            stride: 0,
            samples: Vec::new(),
            coefficients: Vec::new(),
        }
    }

    /// Takes over what holds from the component's first scan on.
    fn begin(&mut self, tables: &Tables) -> Result<(), Fault> {
        if !self.seen {
            self.quant = tables.quant[self.quant_table]
                .ok_or(Fault::Damaged("a quantization table is missing"))?;
            self.seen = true;
        }
        Ok(())
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.samples[y * self.stride..][..self.width]
    }

    fn coefficients_mut(&mut self, (x, y): (usize, usize)) -> &mut [i16; 64] {
        let place = y * (self.stride / 8) + x;
        &mut self.coefficients.as_chunks_mut().0[place]
    }

    /// Turns a progressive picture's coefficients into samples.
    fn transform(&mut self) {
        let rows = self.coefficients.chunks_exact(self.stride * 8);
        for (blocks, out) in rows.zip(self.samples.chunks_exact_mut(self.stride * 8)) {
            for (x, block) in blocks.as_chunks().0.iter().enumerate() {
                idct::block(block, &self.quant, &mut out[x * 8..], self.stride);
            }
        }
    }
}

/// Decodes JPEGs; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    components: Vec<Component>,
    rows: [Vec<u8>; 4],
}

impl Decoder {
    /// Decodes to RGB and gives the EXIF block (from its TIFF header on), if there is one.
    pub(super) fn decode<'a>(
        &mut self,
        name: &str,
        bytes: &'a [u8],
        frame: &mut Frame,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        let header = Header::read(bytes).map_err(|fault| fault.named(name))?;
        limits::check_size(name, header.width as u32, header.height as u32)?;
        self.prepare(&header);
        self.scans(bytes, &header).map_err(|fault| fault.named(name))?;
        frame.resize(header.width as u32, header.height as u32);
        self.paint(&header, frame);
        Ok(header.exif)
    }

    /// Takes the memory for the picture's samples.
    fn prepare(&mut self, header: &Header) {
        let count = header.parts.len();
        self.components.resize_with(count, Component::new);
        let (most_h, most_v) = header.most();
        let mcus = header.mcus();
        for (component, part) in self.components.iter_mut().zip(&header.parts) {
            let (h, v) = part.sampling;
            component.id = part.id;
            component.sampling = part.sampling;
            component.quant_table = part.quant_table;
            component.seen = false;
            component.width = (header.width * h).div_ceil(most_h);
            component.height = (header.height * v).div_ceil(most_v);
            component.blocks = (component.width.div_ceil(8), component.height.div_ceil(8));
            component.stride = mcus.0 * h * 8;
            let samples = component.stride * mcus.1 * v * 8;
            component.samples.resize(samples, 0);
            component.coefficients.clear();
            if header.progressive {
                component.coefficients.resize(samples, 0);
            }
        }
        for row in &mut self.rows {
            row.resize(mcus.0 * most_h * 8, 0);
        }
    }

    /// Reads tables and scans to the end of the picture.
    fn scans(&mut self, bytes: &[u8], header: &Header) -> Result<(), Fault> {
        let [dc, ac] = huffman::standard()?;
        let mut tables = Tables { dc, ac, ..Tables::default() };
        let mut restart = 0;
        let mut at = 2;
        let mut scans = 0;
        loop {
            let Some(segment) = header::segment(bytes, at)? else {
                // Some cameras leave the end out: no harm where nothing else can be missing.
                let whole = !header.progressive && self.components.iter().all(|c| c.seen);
                if whole {
                    break;
                }
                return Err(Fault::CutOff);
            };
            at = segment.end;
            match segment.marker {
                0xd9 => break,
                0xdb => header::quantization(segment.body, &mut tables.quant)?,
                0xc4 => header::huffman(segment.body, &mut tables)?,
                0xdd => restart = header::restart_interval(segment.body)?,
                0xda => {
                    scans += 1;
                    if scans > MAX_SCANS {
                        return Err(Fault::Unsupported("more than MAX_SCANS = 256 scans"));
                    }
                    let scan = header.scan(segment.body, &self.components, restart)?;
                    for &(index, ..) in &scan.parts {
                        self.components[index].begin(&tables)?;
                    }
                    at = scan.run(bytes, at, &tables, &mut self.components)?;
                }
                _ => {}
            }
        }
        if !self.components.iter().all(|component| component.seen) {
            return Err(Fault::Damaged("a colour has no data"));
        }
        if header.progressive {
            self.components.iter_mut().for_each(Component::transform);
        }
        Ok(())
    }

    fn paint(&mut self, header: &Header, frame: &mut Frame) {
        let (most_h, most_v) = header.most();
        for (y, out) in frame.pixels_mut().chunks_exact_mut(header.width * 3).enumerate() {
            for (component, row) in self.components.iter().zip(&mut self.rows) {
                let (h, v) = component.sampling;
                color::upsample(component, y, (most_h / h, most_v / v), row);
            }
            color::convert(header.model, self.rows.each_ref().map(Vec::as_slice), out);
        }
    }
}
