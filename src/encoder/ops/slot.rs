//! The tensors between layers. They are made when an encoder is opened and used again for every
//! picture; layers whose results have one shape and are not alive together share one.

use std::sync::{Arc, Mutex, PoisonError};

use tract_core::internal::*;

use crate::asset::encoder::{Element, Layer, NO_VALUE, Value};
use crate::kernels::Out;

/// Most bytes of all tensors of an encoder: a damaged table of layers must not take all memory.
const MAX_BYTES: u64 = 1 << 30;

/// One tensor.
pub(in crate::encoder) struct Slot {
    value: Value,
    tensor: Mutex<Arc<Tensor>>,
}

impl Slot {
    pub(in crate::encoder) fn new(value: Value) -> TractResult<Arc<Self>> {
        Ok(Arc::new(Self { value, tensor: Mutex::new(make(value)?) }))
    }

    pub(in crate::encoder) fn fact(&self) -> TypedFact {
        match self.value.element {
            Element::Codes => u8::fact(self.value.shape.sides()),
            Element::Real => f32::fact(self.value.shape.sides()),
        }
    }

    /// Lets `f` write the tensor and gives it on.
    pub(in crate::encoder) fn write(
        &self,
        f: impl FnOnce(Out) -> TractResult<()>,
    ) -> TractResult<TValue> {
        // A panic in `f` leaves a tensor that is written over.
        let mut shared = self.tensor.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::get_mut(&mut shared).is_none() {
            // Somebody keeps the last result: it stays as it is.
            *shared = make(self.value)?;
        }
        let tensor = Arc::get_mut(&mut shared).context("a tensor of its own")?;
        let mut view = tensor.try_as_plain_ram_mut()?;
        match self.value.element {
            Element::Codes => f(Out::Codes(view.as_slice_mut()?))?,
            Element::Real => f(Out::Real(view.as_slice_mut()?))?,
        }
        Ok(TValue::from_const(Arc::clone(&shared)))
    }
}

fn make(value: Value) -> TractResult<Arc<Tensor>> {
    let sides = value.shape.sides();
    let tensor = match value.element {
        Element::Codes => Tensor::zero::<u8>(&sides)?,
        Element::Real => Tensor::zero::<f32>(&sides)?,
    };
    Ok(Arc::new(tensor))
}

fn value_bytes(value: Value) -> u64 {
    value.shape.volume() as u64 * value.element.size() as u64
}

/// The slot of each layer's result.
pub(in crate::encoder) struct Slots(pub(in crate::encoder) Vec<Arc<Slot>>);

impl Slots {
    pub(in crate::encoder) fn plan(layers: &[Layer]) -> TractResult<Self> {
        let inputs: Vec<[u32; 3]> = layers.iter().map(|layer| layer.record.inputs).collect();
        // The layer that reads a value last; the last value is read after all.
        let mut last: Vec<usize> = (0..=inputs.len()).collect();
        for (layer, inputs) in inputs.iter().enumerate() {
            for value in inputs.iter().filter(|value| **value != NO_VALUE) {
                last[*value as usize] = layer;
            }
        }
        if let Some(end) = last.last_mut() {
            *end = usize::MAX;
        }
        // The tensors, each with the layer after which it is free; and the tensor of each layer.
        let mut tensors: Vec<(Value, usize)> = Vec::new();
        let mut of_layer: Vec<usize> = Vec::with_capacity(inputs.len());
        for (i, layer) in layers.iter().enumerate() {
            let element = match layer.record.element {
                element if element == Element::Codes as u32 => Element::Codes,
                _ => Element::Real,
            };
            let value = Value { shape: layer.record.shape, element };
            let free = tensors.iter().position(|(other, end)| *other == value && *end < i);
            let at = free.unwrap_or(tensors.len());
            if at == tensors.len() {
                tensors.push((value, 0));
            }
            tensors[at].1 = last[i + 1];
            of_layer.push(at);
        }
        let bytes: u64 = tensors.iter().map(|(value, _)| value_bytes(*value)).sum();
        ensure!(
            bytes <= MAX_BYTES,
            "its values need {bytes} bytes, at most {MAX_BYTES} are allowed"
        );
        let made: TractResult<Vec<Arc<Slot>>> =
            tensors.iter().map(|(value, _)| Slot::new(*value)).collect();
        let made = made?;
        let slots = of_layer.iter().map(|at| Arc::clone(&made[*at])).collect();
        Ok(Self(slots))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::encoder::{LayerKind, LayerRecord, Shape};

    /// Layers that read each other in turn and give rows of these many channels.
    fn plan(channels: &[u32]) -> TractResult<Slots> {
        let records: Vec<LayerRecord> = channels
            .iter()
            .enumerate()
            .map(|(i, channels)| LayerRecord {
                inputs: [i as u32, NO_VALUE, NO_VALUE],
                element: Element::Real as u32,
                shape: Shape { height: 1, width: 1024, channels: *channels },
                ..LayerRecord::default()
            })
            .collect();
        let layers: Vec<Layer> = records
            .iter()
            .map(|record| Layer { name: "", kind: LayerKind::Norm, record, inputs: [None; 3] })
            .collect();
        Slots::plan(&layers)
    }

    #[test]
    fn layers_share_tensors_that_nobody_reads_any_more() {
        let slots = plan(&[8, 8, 8, 5, 8]).unwrap().0;
        let same = |a: usize, b: usize| Arc::ptr_eq(&slots[a], &slots[b]);
        // A layer never writes what it reads.
        assert!(!same(0, 1) && !same(1, 2) && same(0, 2));
        assert!(same(2, 4) && !same(3, 4));
    }

    #[test]
    fn more_memory_than_allowed_is_refused_before_it_is_taken() {
        let error = plan(&(16_000..16_020).collect::<Vec<u32>>()).err().unwrap();
        assert!(error.to_string().contains("at most"), "{error}");
    }
}
