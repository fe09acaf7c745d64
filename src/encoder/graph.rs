//! From an asset's sections to a tract plan of our ops.

use std::sync::Arc;

use tract_core::internal::*;

use super::ops::{Body, Conv, Depthwise, Engine, Geometry, PooledConv};
use crate::asset::AssetFile;
use crate::asset::encoder::{LayerKind, Layers};
use crate::kernels::{Kernels, Pool};

/// Plans the checked `layers` of `file`, whose weights section starts at byte `weights`.
pub(super) fn plan(
    file: &AssetFile,
    weights: usize,
    layers: &Layers,
    kernels: &'static Kernels,
    threads: usize,
) -> TractResult<Arc<TypedRunnableModel>> {
    model(file, weights, layers, kernels, threads)?.into_runnable()
}

fn model(
    file: &AssetFile,
    weights: usize,
    layers: &Layers,
    kernels: &'static Kernels,
    threads: usize,
) -> TractResult<TypedModel> {
    let scratch = layers.iter().map(|layer| kernels.scratch(Geometry::of(&layer).columns)).max();
    let pool = Pool::new(threads, scratch.unwrap_or(0))?;
    let engine = Arc::new(Engine { kernels, pool });
    let mut model = TypedModel::default();
    let side = layers.input().height as usize;
    let picture = model.add_source("picture", u8::fact([1, side, side, 3]))?;
    let mut values = vec![picture];
    for (i, layer) in layers.iter().enumerate() {
        let body = Body::new(&engine, file, weights, &layer);
        // Names in a graph are unique, those of a file need not be.
        let name = format!("{i}.{}", layer.name);
        let input = values[layer.record.input as usize];
        let outlets = match layer.kind {
            LayerKind::Conv => {
                let added = layer.residual().map(|value| values[value as usize]);
                let residual_scale = added.map(|_| layer.record.residual_scale);
                let inputs: TVec<OutletId> = std::iter::once(input).chain(added).collect();
                model.wire_node(name, Conv { body, residual_scale }, &inputs)?
            }
            LayerKind::Depthwise => model.wire_node(name, Depthwise { body }, &[input])?,
            LayerKind::PooledConv => model.wire_node(name, PooledConv { body }, &[input])?,
        };
        values.push(outlets[0]);
    }
    model.select_output_outlets(&values[values.len() - 1..])?;
    Ok(model)
}
