//! A model of floats as sections of an asset: f16 and i8, read by [`crate::head`].

use super::heads::{AdapterWeights, BranchWeights, Keys, Model};
use super::train::meta_adapter::MetaWeights;
use super::{FitError, ProjectionWeights, keys};
use crate::asset::{Adapter, Bank, CacheBuilder, EncoderId, Key, Linear, Meta, Space, Tag};

/// The sections of a model whose keys live in `space`. Plain Tip-Adapter's keys are the cache's and are
/// not written again.
///
/// # Errors
/// A limit is exceeded, or a number is beyond f16.
pub(super) fn encode(
    model: &Model,
    encoder: EncoderId,
    space: Space,
    classes: usize,
) -> Result<Vec<(Tag, Vec<u8>)>, FitError> {
    let mut sections = Vec::new();
    if let Some(term) = &model.linear {
        let section = Linear::encode(space, &term.has, &term.bias, &term.weights.data)?;
        sections.push((Tag::LINEAR, section));
    }
    if let Some(weights) = &model.adapter {
        sections.push((Tag::ADAPTER, adapter(weights, space)?));
    }
    if let Some(own) = &model.keys {
        sections.push((Tag::BANK, bank(own, encoder, space, classes)?));
    }
    if let Some(MetaWeights { query, key, gate, bias }) = &model.meta {
        sections.push((Tag::META, Meta::encode(gate, *bias, &query.data, &key.data)?));
    }
    Ok(sections)
}

fn adapter(weights: &AdapterWeights, space: Space) -> Result<Vec<u8>, FitError> {
    Ok(match weights {
        AdapterWeights::Branch(BranchWeights { keep, ratio, down, up }) => {
            let down = down.as_ref().map(|down| &down.data[..]).unwrap_or_default();
            Adapter::encode_branch(space, up.rows(), [*keep, *ratio], down, &up.data)?
        }
        AdapterWeights::Projection(ProjectionWeights { weight, bias, image_mean }) => {
            Adapter::encode_projection(&weight.data, bias, image_mean)?
        }
    })
}

fn bank(own: &Keys, encoder: EncoderId, space: Space, classes: usize) -> Result<Vec<u8>, FitError> {
    let mean = keys::mean(own.keys.iter(), own.keys.columns());
    let mut cache = CacheBuilder::new(encoder, space, &mean, classes)?;
    for ((row, &class), &weight) in own.keys.iter().zip(&own.classes).zip(&own.weights) {
        let keys::CodedKey { codes, scale, bias } = keys::code(row, &mean);
        cache.push(&Key { codes: &codes, scale, bias, weight, class: class as u32 })?;
    }
    let channels: Vec<u16> = own.channels.iter().map(|&channel| channel as u16).collect();
    let feature_dim = own.feature_dim;
    Ok(Bank::encode(&channels, feature_dim, &cache.finish(0)?)?)
}
