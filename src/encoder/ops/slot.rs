//! The tensors between layers. They are made when an encoder is opened and used again for every
//! picture; layers whose results have one shape and are not alive together share one.

use std::sync::{Arc, Mutex, PoisonError};

use tract_core::internal::*;

use crate::asset::encoder::{Element, Layer, NO_VALUE, Value};
use crate::kernels::Out;

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
        let mut slots: Vec<Arc<Slot>> = Vec::with_capacity(inputs.len());
        // Slots, and the layer after which each is free.
        let mut busy: Vec<(Arc<Slot>, usize)> = Vec::new();
        for (i, layer) in layers.iter().enumerate() {
            let element = match layer.record.element {
                element if element == Element::Codes as u32 => Element::Codes,
                _ => Element::Real,
            };
            let value = Value { shape: layer.record.shape, element };
            let until = last[i + 1];
            let free = busy.iter_mut().find(|(slot, end)| slot.value == value && *end < i);
            let slot = match free {
                Some((slot, end)) => {
                    *end = until;
                    Arc::clone(slot)
                }
                None => {
                    let slot = Slot::new(value)?;
                    busy.push((Arc::clone(&slot), until));
                    slot
                }
            };
            slots.push(slot);
        }
        Ok(Self(slots))
    }
}
