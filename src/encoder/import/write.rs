//! Int8 layers → the sections of an encoder.

use zerocopy::IntoBytes;

use super::layer::{Int8Layer, Weights};
use crate::asset::encoder::{LayerRecord, PART_ALIGN, Part, layers_section};

/// The sections with the table of layers and with the weights.
pub(super) fn sections(input_size: usize, layers: &[Int8Layer]) -> (Vec<u8>, Vec<u8>) {
    let mut weights = Vec::new();
    let mut append = |bytes: &[u8]| {
        weights.resize(usize::next_multiple_of(weights.len(), PART_ALIGN), 0);
        let part = Part { offset: weights.len() as u32, len: bytes.len() as u32 };
        weights.extend_from_slice(bytes);
        part
    };
    let records: Vec<(&str, LayerRecord)> = layers
        .iter()
        .map(|layer| {
            let data = match &layer.weights {
                Weights::Dense(codes) => append(codes.as_bytes()),
                Weights::Depthwise(codes) => append(codes.as_bytes()),
            };
            let record = LayerRecord {
                weights: data,
                scale: append(layer.scale.as_bytes()),
                bias: append(layer.bias.as_bytes()),
                pad: append(&layer.pad),
                ..layer.record
            };
            (layer.name.as_str(), record)
        })
        .collect();
    let table = layers_section(input_size as u32, &records);
    (table, weights)
}
