//! What was learned on one base asset, carried over to another one of the same encoder.

use super::StateError;
use super::operation::{Numbered, Operation};
use super::record::MAX_SHOTS;
use crate::asset::AssetFile;
use crate::fit::keys;

/// A learned shot as the old base had it.
struct Shot {
    id: u64,
    label: String,
    feature: Vec<f32>,
    name: String,
}

/// What has to be done to the new base, and which old key each new one was.
pub(super) struct Carried {
    pub(super) operations: Vec<Numbered>,
    pub(super) keys: Vec<(u64, u64)>,
}

/// The shots of keys from `first_learned` on, as operations whose keys begin at `first_id`.
pub(super) fn carry(
    snapshot: Option<&AssetFile>,
    operations: Vec<Numbered>,
    first_learned: u64,
    first_id: u64,
) -> Result<Carried, StateError> {
    let mut shots = snapshot.map_or(Ok(Vec::new()), |file| learned(file, first_learned))?;
    for Numbered { operation, .. } in operations {
        follow(&mut shots, operation);
    }
    let mut labels: Vec<String> = Vec::new();
    for shot in &shots {
        if !labels.contains(&shot.label) {
            labels.push(shot.label.clone());
        }
    }
    let mut carried = Carried { operations: Vec::new(), keys: Vec::new() };
    let mut id = first_id;
    for label in labels {
        let (of_class, rest): (Vec<_>, _) = shots.into_iter().partition(|s| s.label == label);
        shots = rest;
        let mut of_class = of_class.into_iter().peekable();
        while of_class.peek().is_some() {
            let first_id = id;
            let mut part = Vec::new();
            for shot in of_class.by_ref().take(MAX_SHOTS) {
                carried.keys.push((shot.id, id));
                part.push((shot.feature, shot.name));
                id += 1;
            }
            let operation = Operation::Learn { first_id, label: label.clone(), shots: part };
            let number = carried.operations.len() as u64 + 1;
            carried.operations.push(Numbered { number, operation });
        }
    }
    Ok(carried)
}

/// The learned shots in a snapshot.
fn learned(snapshot: &AssetFile, first_learned: u64) -> Result<Vec<Shot>, StateError> {
    let asset = snapshot.asset()?;
    let (Some(cache), Some(labels)) = (asset.cache, asset.labels) else { return Ok(Vec::new()) };
    let shot = |key: usize| {
        let mut feature = keys::decode(&cache, key);
        keys::normalize(&mut feature);
        let name = asset.key_names.and_then(|names| names.get(key)).unwrap_or_default();
        let label = labels.get(cache.class[key] as usize)?.to_owned();
        Some(Shot { id: cache.id[key], label, feature, name: name.to_owned() })
    };
    let keys = (0..cache.len).filter(|&key| cache.id[key] >= first_learned);
    Ok(keys.filter_map(shot).collect())
}

/// What an operation does to the learned shots; what it does to those of the base is left out.
fn follow(shots: &mut Vec<Shot>, operation: Operation) {
    match operation {
        Operation::Learn { first_id, label, shots: new } => {
            let ids = first_id..;
            shots.extend(ids.zip(new).map(|(id, (feature, name))| {
                let label = label.clone();
                Shot { id, label, feature, name }
            }));
        }
        Operation::ForgetKey(id) => shots.retain(|shot| shot.id != id),
        Operation::ForgetClass(label) => shots.retain(|shot| shot.label != label),
        Operation::Move { id, label } => {
            shots.iter_mut().filter(|shot| shot.id == id).for_each(|s| s.label.clone_from(&label));
        }
        Operation::Rename { label, new } => {
            let renamed = shots.iter_mut().filter(|shot| shot.label == label);
            renamed.for_each(|shot| shot.label.clone_from(&new));
        }
    }
}
