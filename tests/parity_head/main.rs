//! Heads against PyTorch: `tests/reference/head.py` and `heads.py` wrote the golden files.
#![cfg(feature = "fit")]

mod heads;
mod tip;

use std::path::Path;

use safetensors::SafeTensors;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A golden file: tensors by name and the metadata's texts.
struct Golden(Vec<u8>);

impl Golden {
    fn open(name: &str) -> Self {
        Self(std::fs::read(root().join("tests/golden").join(name)).unwrap())
    }

    fn text(&self, key: &str) -> String {
        let (_, header) = SafeTensors::read_metadata(&self.0).unwrap();
        header.metadata().as_ref().unwrap()[key].clone()
    }

    fn number(&self, key: &str) -> f32 {
        self.text(key).parse().unwrap()
    }

    fn bytes(&self, name: &str) -> &[u8] {
        SafeTensors::deserialize(&self.0).unwrap().tensor(name).unwrap().data()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.bytes(name).as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }

    fn integers(&self, name: &str) -> Vec<usize> {
        let values = self.bytes(name).as_chunks::<4>().0.iter();
        values.map(|b| i32::from_le_bytes(*b) as usize).collect()
    }

    fn answers(&self, name: &str) -> Vec<usize> {
        let values = self.bytes(name).as_chunks::<2>().0.iter();
        values.map(|b| usize::from(u16::from_le_bytes(*b))).collect()
    }
}
