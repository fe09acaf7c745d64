//! Whether a layer can be computed from what comes before it and lies within the weights.

use super::{
    Element, Function, LAYERS, Layer, LayerKind, LayerRecord, MAX_AXES, MAX_CHANNELS, MAX_DEPTH,
    MAX_KERNEL, MAX_PATCH, MAX_TOKENS, MAX_VOLUME, NO_VALUE, PART_ALIGN, Part, Reducer, Shape,
    Value,
};
use crate::asset::{AssetError, limits};
use crate::kernels::Activation;

type Result<T = ()> = core::result::Result<T, AssetError>;

/// Refuses a layer that is not so.
fn need(so: bool, otherwise: &'static str) -> Result {
    if so { Ok(()) } else { Err(LAYERS.corrupt(otherwise)) }
}

/// Checks one layer; the values that it reads were checked before.
pub(super) fn layer(layer: &Layer, weights_len: usize) -> Result {
    let r = layer.record;
    let out = Element::of(r.element);
    let element = out.ok_or(LAYERS.corrupt("a layer's element is unknown"))?;
    volume(r.shape)?;
    let has = inputs(layer);
    need(has == 0b111 || has == 0b011 || has == 0b001 || has == 0, "a layer's inputs have a gap")?;
    need(r.activation().is_some(), "a layer's activation is unknown")?;
    let finite = [r.epsilon, r.factor, r.lo, r.hi, r.gate[0], r.gate[1], r.gate[2]];
    need(finite.iter().all(|x| x.is_finite()) && r.lo <= r.hi, "a layer's numbers are impossible")?;
    need(r.epsilon >= 0.0 && r.norm <= 1 && r.mean <= 1, "a layer's numbers are impossible")?;
    let parts = match layer.kind {
        LayerKind::Conv | LayerKind::Float => conv(layer, element)?,
        LayerKind::Depthwise => depthwise(layer, element)?,
        LayerKind::Norm => norm(layer, element)?,
        LayerKind::Attention => attention(layer, element)?,
        LayerKind::Tokens => tokens(layer, element)?,
        LayerKind::Rows => rows(layer, element)?,
        LayerKind::Constant => constant(layer, element)?,
        LayerKind::Mean => mean(layer, element)?,
        LayerKind::Scale => scale(layer, element)?,
        LayerKind::Strided => strided(layer, element)?,
        LayerKind::Join => join(layer, element)?,
        LayerKind::Softmax => softmax(layer, element)?,
        LayerKind::Codes => codes(layer, element)?,
        LayerKind::MaxPool => max_pool(layer, element)?,
    };
    parts.check(r, weights_len)
}

/// Which of the inputs there are, as bits.
fn inputs(layer: &Layer) -> u32 {
    let numbers = layer.record.inputs.iter().enumerate();
    numbers.map(|(i, number)| u32::from(*number != NO_VALUE) << i).sum()
}

/// A shape of sides, channels and a volume that are possible.
fn volume(shape: Shape) -> Result {
    limits::check("channels", shape.channels as usize, MAX_CHANNELS)?;
    let side = limits::MAX_INPUT_SIZE.max(MAX_TOKENS);
    limits::check("rows", shape.height as usize, side)?;
    limits::check("columns", shape.width as usize, side)?;
    let volume = shape.sides().iter().map(|side| *side as u64).product::<u64>();
    limits::check("values", usize::try_from(volume).unwrap_or(usize::MAX), MAX_VOLUME)?;
    need(volume > 0, "a layer's result is empty")
}

/// Bytes that a layer's parts must have.
#[derive(Default)]
struct Lengths {
    weights: usize,
    sums: usize,
    scale: usize,
    bias: usize,
    step: usize,
    zero: usize,
    pad: usize,
    factors: usize,
    values: usize,
    add: usize,
}

impl Lengths {
    fn check(&self, r: &LayerRecord, weights_len: usize) -> Result {
        let pairs: [(Part, usize); 10] = [
            (r.weights, self.weights),
            (r.sums, self.sums),
            (r.scale, self.scale),
            (r.bias, self.bias),
            (r.step, self.step),
            (r.zero, self.zero),
            (r.pad, self.pad),
            (r.factors, self.factors),
            (r.values, self.values),
            (r.add, self.add),
        ];
        let fits = |(part, len): &(Part, usize)| {
            let range = part.range();
            range.len() == *len && range.end <= weights_len && range.start % PART_ALIGN == 0
        };
        need(pairs.iter().all(fits), "a layer's weights lie elsewhere")
    }
}

/// Bytes of one f32 (or i32) for each channel, filled up to whole panels.
fn padded(channels: u32) -> usize {
    (channels as usize).next_multiple_of(16) * 4
}

/// The first input, of these elements.
fn input(layer: &Layer, i: usize, elements: &[Element]) -> Result<Value> {
    let value = layer.inputs[i].filter(|value| elements.contains(&value.element));
    value.ok_or(LAYERS.corrupt("a layer reads another kind of value than it can"))
}

/// Codes are bounded by what a byte holds.
fn bounds(r: &LayerRecord, element: Element) -> Result {
    let within = element == Element::Real || (r.lo >= 0.0 && r.hi <= 255.0);
    need(within, "a layer's bounds are impossible")
}

/// Bytes of the steps that stand between an activation and codes.
fn steps(r: &LayerRecord, element: Element, channels: u32) -> usize {
    let activated = r.activation() != Some(Activation::Linear);
    if activated && element == Element::Codes { padded(channels) } else { 0 }
}

fn conv(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Codes, Element::Real])?);
    let (channels, pointwise) = (r.shape.channels, layer.is_pointwise());
    need(inputs(layer) <= 0b011, "a layer reads too many values")?;
    if from.element == Element::Real {
        need(pointwise, "a convolution reads real values")?;
    } else {
        need(r.norm == 0 && r.factors.len == 0, "a layer normalises codes")?;
    }
    if pointwise {
        let positions = if r.mean == 1 { 1 } else { from.shape.positions() };
        need(positions == r.shape.positions(), "a pointwise layer changes the size")?;
    } else {
        need(r.mean == 0, "a convolution takes a mean")?;
        let patch = r.kernel == r.stride && r.pad_top == 0 && r.pad_left == 0;
        window(r, from.shape, if patch { MAX_PATCH } else { MAX_KERNEL })?;
    }
    need(layer.depth() <= MAX_DEPTH as usize, "a layer has too many inputs for 32-bit sums")?;
    if let Some(added) = layer.inputs[1] {
        let fits = added.shape.positions() == r.shape.positions()
            && added.shape.channels == r.shape.channels;
        let same = fits && added.element == element;
        need(same && r.mean == 0, "a layer adds a value that does not fit")?;
    }
    if r.mean == 1 {
        let plain = r.activation() == Some(Activation::Linear) && element == Element::Real;
        let plain = plain && layer.kind == LayerKind::Conv;
        need(plain, "a layer with a mean gives something else")?;
    }
    bounds(r, element)?;
    let factors = if r.factors.len == 0 { 0 } else { from.shape.channels as usize * 4 };
    Ok(Lengths {
        weights: layer.weights_len(),
        sums: if layer.kind == LayerKind::Conv { padded(channels) } else { 0 },
        scale: padded(channels),
        bias: padded(channels),
        step: steps(r, element, channels),
        zero: steps(r, element, channels),
        pad: if pointwise { 0 } else { from.shape.channels as usize },
        factors,
        ..Lengths::default()
    })
}

/// The kernel's side, its step, and that its first and last position touch the image.
fn window(r: &LayerRecord, from: Shape, most: u32) -> Result {
    let possible = |x: u32| x > 0 && x <= most;
    need(possible(r.kernel) && possible(r.stride), "a layer's kernel or stride is impossible")?;
    let touches = |pad, out, side| pad < r.kernel && (out - 1) * r.stride < side + pad;
    let both = touches(r.pad_top, r.shape.height, from.height)
        && touches(r.pad_left, r.shape.width, from.width);
    need(both, "a layer's kernel lies outside the image")
}

fn depthwise(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Codes])?);
    need(
        inputs(layer) == 0b001 && element == Element::Codes,
        "a depthwise layer gives codes only",
    )?;
    window(r, from.shape, MAX_KERNEL)?;
    let multiplier = layer.multiplier();
    let whole = multiplier * from.shape.channels as usize == r.shape.channels as usize;
    need(whole && multiplier > 0, "a depthwise layer changes the number of channels")?;
    bounds(r, element)?;
    let each = multiplier * padded(from.shape.channels);
    let steps = if steps(r, element, 1) > 0 { each } else { 0 };
    Ok(Lengths {
        weights: layer.weights_len(),
        scale: each,
        bias: each,
        step: steps,
        zero: steps,
        pad: from.shape.channels as usize,
        ..Lengths::default()
    })
}

fn norm(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Real])?);
    let same = from.shape == r.shape && element == Element::Real && inputs(layer) == 0b001;
    need(same, "a norm changes the shape")?;
    let each = r.shape.channels as usize * 4;
    Ok(Lengths { scale: each, bias: each, ..Lengths::default() })
}

fn attention(layer: &Layer, element: Element) -> Result<Lengths> {
    let r = layer.record;
    let real = [Element::Real];
    let [q, k, v] = [input(layer, 0, &real)?, input(layer, 1, &real)?, input(layer, 2, &real)?];
    let width = r.shape.channels;
    need(element == Element::Real, "attention gives real values")?;
    need(
        r.heads > 0 && width.is_multiple_of(r.heads),
        "attention's heads do not divide its channels",
    )?;
    for (value, at) in [q, k, v].into_iter().zip(r.at) {
        let end = at.checked_add(width);
        need(end.is_some_and(|end| end <= value.shape.channels), "attention reads past a row")?;
    }
    limits::check("tokens", k.shape.positions(), MAX_TOKENS)?;
    let fits =
        k.shape.positions() == v.shape.positions() && q.shape.positions() == r.shape.positions();
    need(fits, "attention's keys and values differ in number")?;
    Ok(Lengths::default())
}

fn tokens(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Codes, Element::Real])?);
    let real = element == Element::Real && inputs(layer) == 0b001;
    need(real && from.shape.channels == r.shape.channels, "tokens change the channels")?;
    let more = r.shape.positions().checked_sub(from.shape.positions() + r.mean as usize);
    let prefix = more.ok_or(LAYERS.corrupt("tokens leave positions out"))?;
    let row = r.shape.channels as usize * 4;
    let add = if r.add.len == 0 { 0 } else { r.shape.volume() * 4 };
    let each = if from.element == Element::Codes { padded(r.shape.channels) } else { 0 };
    Ok(Lengths { values: prefix * row, add, scale: each, bias: each, ..Lengths::default() })
}

fn rows(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Real])?);
    let real = element == Element::Real && inputs(layer) == 0b001;
    let end = r.shape.positions().checked_add(r.at[0] as usize);
    let inside = end.is_some_and(|end| end <= from.shape.positions());
    need(real && inside && from.shape.channels == r.shape.channels, "rows lie elsewhere")?;
    Ok(Lengths::default())
}

fn constant(layer: &Layer, element: Element) -> Result<Lengths> {
    need(element == Element::Real && inputs(layer) == 0, "a constant is not real")?;
    Ok(Lengths { values: layer.record.shape.volume() * 4, ..Lengths::default() })
}

fn mean(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Codes, Element::Real])?);
    let one = r.shape.positions() == 1 && from.shape.channels == r.shape.channels;
    need(one && element == Element::Real && inputs(layer) == 0b001, "a mean is not one row")?;
    let each = if from.element == Element::Codes { padded(r.shape.channels) } else { 0 };
    Ok(Lengths { scale: each, bias: each, ..Lengths::default() })
}

fn scale(layer: &Layer, element: Element) -> Result<Lengths> {
    let r = layer.record;
    let (from, gate) = (input(layer, 0, &[Element::Codes])?, input(layer, 1, &[Element::Real])?);
    let gated = gate.shape.positions() == 1 && gate.shape.channels == r.shape.channels;
    let same = from.shape == r.shape && element == Element::Codes && inputs(layer) == 0b011;
    need(gated && same, "a scale's gate or result does not fit")?;
    bounds(r, element)?;
    let each = padded(r.shape.channels);
    Ok(Lengths { scale: each, bias: each, step: each, zero: each, ..Lengths::default() })
}

fn strided(layer: &Layer, element: Element) -> Result<Lengths> {
    let r = layer.record;
    input(layer, 0, &[Element::Real])?;
    if layer.inputs[1].is_some() {
        input(layer, 1, &[Element::Real])?;
    }
    need(element == Element::Real && inputs(layer) <= 0b011, "a strided layer gives real values")?;
    let function = Function::numbered(r.function, r.activation());
    let known = function.is_some() && Reducer::numbered(r.reducer).is_some();
    need(known, "a strided layer's function is unknown")?;
    let binary = matches!(function, Some(Function::Binary(_)));
    need(!binary || layer.inputs[1].is_some(), "a function of two values reads one")?;
    let values = r.values.len as usize;
    let axes = values / 12;
    limits::check("axes", axes, MAX_AXES)?;
    need(r.kept as usize <= axes && values == axes * 12, "a strided layer's axes are cut off")?;
    Ok(Lengths { values, ..Lengths::default() })
}

fn join(layer: &Layer, element: Element) -> Result<Lengths> {
    let r = layer.record;
    let runs = r.kept as usize;
    input(layer, 0, &[Element::Real])?;
    need(element == Element::Real && runs > 0, "a join gives real values")?;
    let mut volume = 0;
    for value in layer.inputs.iter().flatten() {
        let whole = value.element == Element::Real && value.shape.volume().is_multiple_of(runs);
        need(whole, "a join cuts a value into unequal runs")?;
        volume += value.shape.volume();
    }
    need(volume == r.shape.volume(), "a join's values are not its result")?;
    Ok(Lengths::default())
}

fn softmax(layer: &Layer, element: Element) -> Result<Lengths> {
    let from = input(layer, 0, &[Element::Real])?;
    let same = from.shape == layer.record.shape && element == Element::Real;
    need(same && inputs(layer) == 0b001, "a softmax changes the shape")?;
    Ok(Lengths::default())
}

fn codes(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Real])?);
    let same = from.shape == r.shape && element == Element::Codes && inputs(layer) == 0b001;
    need(same, "codes are made of other values")?;
    bounds(r, element)?;
    let each = padded(r.shape.channels);
    Ok(Lengths { step: each, zero: each, ..Lengths::default() })
}

fn max_pool(layer: &Layer, element: Element) -> Result<Lengths> {
    let (r, from) = (layer.record, input(layer, 0, &[Element::Codes])?);
    let same = from.shape.channels == r.shape.channels && element == Element::Codes;
    need(same && inputs(layer) == 0b001, "a pool gives other channels")?;
    window(r, from.shape, MAX_KERNEL)?;
    Ok(Lengths::default())
}
