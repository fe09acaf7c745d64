//! From an asset's sections to a tract plan of our ops.

use std::sync::Arc;

use tract_core::internal::*;

use super::ops::{Engine, LayerOp, Slot, Slots, Source};
use crate::asset::AssetFile;
use crate::asset::encoder::{Element, Layer, Layers, NO_VALUE, Shape, Value};
use crate::kernels::Kernels;

/// A plan, and the slot of the picture that goes in.
pub(super) struct Graph {
    pub(super) plan: Arc<TypedRunnableModel>,
    pub(super) picture: Arc<Slot>,
}

/// Plans the checked `layers` of `file`, whose weights section starts at byte `weights`.
pub(super) fn plan(
    file: &AssetFile,
    weights: usize,
    layers: &Layers,
    kernels: &'static Kernels,
    threads: usize,
) -> TractResult<Graph> {
    let list: Vec<Layer> = layers.iter().collect();
    let engine = Arc::new(Engine::new(kernels, threads, &list)?);
    let slots = Slots::plan(&list)?;
    let source = Source::File(file.clone(), weights);
    let mut model = TypedModel::default();
    let side = layers.input_size() as u32;
    let shape = Shape { height: side, width: side, channels: 3 };
    let picture = Slot::new(Value { shape, element: Element::Codes })?;
    let mut values = vec![model.add_source("picture", picture.fact())?];
    for (i, (layer, slot)) in list.iter().zip(slots.0).enumerate() {
        // Names in a graph are unique, those of a file need not be.
        let name = format!("{i}.{}", layer.name);
        let inputs = layer.record.inputs.iter().filter(|value| **value != NO_VALUE);
        let inputs: TVec<OutletId> = inputs.map(|value| values[*value as usize]).collect();
        let op = LayerOp::new(&engine, &source, layer, slot)?;
        values.push(model.wire_node(name, op, &inputs)?[0]);
    }
    model.select_output_outlets(&values[values.len() - 1..])?;
    Ok(Graph { plan: model.into_runnable()?, picture })
}
