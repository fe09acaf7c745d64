use super::{Source, Stamp};
use crate::frame::{Decoder, Frame, FrameError};

macro_rules! photographs {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../../../models/demo/", $name)).as_slice())),*]
    };
}

/// The bundled photographs; `models/demo/README.md` says where they come from.
const PHOTOGRAPHS: &[(&str, &[u8])] = photographs![
    "butterfly_68.jpg",
    "dalmatian_28.jpg",
    "elephant_43.jpg",
    "flamingo_59.jpg",
    "grand_piano_24.jpg",
    "pizza_2.jpg",
    "rooster_3.jpg",
    "stop_sign_9.jpg",
    "strawberry_2.jpg",
    "sunflower_74.jpg",
];

/// One of them, for measurements.
pub const DEMO_PHOTOGRAPH: &[u8] = PHOTOGRAPHS[0].1;

/// The bundled photographs replayed as if a camera saw them.
pub(super) struct Demo {
    number: u64,
    looped: bool,
    decoder: Decoder,
}

impl Demo {
    pub(super) fn new(looped: bool) -> Self {
        Self { number: 0, looped, decoder: Decoder::default() }
    }
}

impl Source for Demo {
    fn next(&mut self, into: &mut Frame) -> Result<Option<Stamp>, FrameError> {
        let number = self.number;
        let count = PHOTOGRAPHS.len() as u64;
        if number >= count && !self.looped {
            return Ok(None);
        }
        let (name, bytes) = PHOTOGRAPHS[(number % count) as usize];
        let source = format!("demo/{name}");
        self.number += 1;
        self.decoder.decode(&source, bytes, into)?;
        Ok(Some(Stamp { number, source: source.into() }))
    }
}
