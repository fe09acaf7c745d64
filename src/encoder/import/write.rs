//! Layers → the sections of an encoder.

use super::layer::NewLayer;
use crate::asset::encoder::{LayerRecord, PART_ALIGN, Part, layers_section};

/// The sections with the table of layers and with the weights.
pub(super) fn sections(input_size: usize, layers: &[NewLayer]) -> (Vec<u8>, Vec<u8>) {
    let mut weights = Vec::new();
    let records: Vec<(&str, LayerRecord)> = layers
        .iter()
        .map(|layer| {
            weights.resize(usize::next_multiple_of(weights.len(), PART_ALIGN), 0);
            let start = weights.len() as u32;
            weights.extend_from_slice(layer.parts.bytes());
            let mut record = layer.record;
            for part in parts_mut(&mut record) {
                if part.len > 0 {
                    part.offset += start;
                }
            }
            (layer.name.as_str(), record)
        })
        .collect();
    (layers_section(input_size as u32, &records), weights)
}

fn parts_mut(r: &mut LayerRecord) -> [&mut Part; 10] {
    [
        &mut r.weights,
        &mut r.sums,
        &mut r.scale,
        &mut r.bias,
        &mut r.step,
        &mut r.zero,
        &mut r.pad,
        &mut r.factors,
        &mut r.values,
        &mut r.add,
    ]
}
