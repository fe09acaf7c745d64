use std::sync::Arc;

use half::f16;

use super::matrix::{Matrix, Workers};
use crate::asset::encoder::Projection;
use crate::asset::{Asset, AssetError, AssetFile, FileError, Tag};
use crate::kernels::Kernels;
use crate::project::project;

/// Maps a unit-norm trunk feature into the space of the text, as the encoder does it: with both
/// centred and of unit norm. A closure is one.
pub trait Projector: Sync {
    /// The feature in the space of the text.
    fn project(&self, trunk: &[f32]) -> Vec<f32>;

    /// What it computes, where that can be trained; a closure does not tell.
    fn weights(&self) -> Option<Arc<ProjectionWeights>> {
        None
    }
}

impl<F: Fn(&[f32]) -> Vec<f32> + Sync> Projector for F {
    fn project(&self, trunk: &[f32]) -> Vec<f32> {
        self(trunk)
    }
}

/// `unit(unit(weight · trunk + bias) - image_mean)`, in float.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionWeights {
    /// `[dim][trunk]`
    pub weight: Matrix,
    /// `[dim]`
    pub bias: Vec<f32>,
    /// `[dim]`: mean of unit-norm projected features over photographs.
    pub image_mean: Vec<f32>,
}

impl ProjectionWeights {
    fn of(projection: &Projection<'_>) -> Self {
        let values: Vec<f32> =
            projection.weight.iter().map(|&bits| f16::from_bits(bits).to_f32()).collect();
        let rows = values.chunks_exact(projection.trunk.max(1));
        Self {
            weight: Matrix::from_rows(rows, projection.trunk),
            bias: projection.bias.to_vec(),
            image_mean: projection.image_mean.to_vec(),
        }
    }

    /// `[n][dim]`: the projected features of `[n][trunk]`.
    #[must_use]
    pub fn run(&self, trunk: &Matrix, workers: Workers) -> Matrix {
        self.centred(self.before_norm(trunk, workers).normalized()).normalized()
    }

    /// `weight · trunk + bias`.
    pub(super) fn before_norm(&self, trunk: &Matrix, workers: Workers) -> Matrix {
        let mut out = trunk.times_transposed(&self.weight, workers);
        out.add_to_rows(1.0, &self.bias);
        out
    }

    pub(super) fn centred(&self, mut unit: Matrix) -> Matrix {
        unit.add_to_rows(-1.0, &self.image_mean);
        unit
    }
}

/// One that keeps what it needs.
pub type OwnedProjector = Box<dyn Projector + Send>;

/// The map of an asset's encoder.
pub struct AssetProjector<'a> {
    /// None where the trunk is in the text's space already.
    projection: Option<Projection<'a>>,
    kernels: &'static Kernels,
}

/// The map of an asset's encoder; none where there is neither a projection nor text. With text alone
/// the trunk is in its space already.
///
/// # Errors
/// A damaged section.
pub fn projector<'a>(
    asset: &Asset<'a>,
    kernels: &'static Kernels,
) -> Result<Option<AssetProjector<'a>>, AssetError> {
    let section = asset.container.section(Tag::PROJECTION);
    if section.is_none() && asset.container.section(Tag::TEXT).is_none() {
        return Ok(None);
    }
    let projection = section.map(Projection::parse).transpose()?;
    Ok(Some(AssetProjector { projection, kernels }))
}

impl Projector for AssetProjector<'_> {
    fn project(&self, trunk: &[f32]) -> Vec<f32> {
        let Some(projection) = &self.projection else { return trunk.to_vec() };
        let mut out = vec![0.0; projection.dim];
        project(self.kernels, projection, trunk, &mut out);
        out
    }

    fn weights(&self) -> Option<Arc<ProjectionWeights>> {
        self.projection.as_ref().map(|projection| Arc::new(ProjectionWeights::of(projection)))
    }
}

/// The same map, which keeps the file that it is in.
///
/// # Errors
/// A damaged section.
pub fn owned_projector(
    file: &AssetFile,
    kernels: &'static Kernels,
) -> Result<Option<OwnedProjector>, FileError> {
    struct Owned(AssetFile, &'static Kernels);
    impl Owned {
        fn borrow<T>(&self, with: impl FnOnce(&AssetProjector<'_>) -> T) -> Option<T> {
            let asset = self.0.asset().ok()?;
            projector(&asset, self.1).ok()?.map(|projector| with(&projector))
        }
    }
    impl Projector for Owned {
        // The section was read when this was made, and an opened file never changes.
        fn project(&self, trunk: &[f32]) -> Vec<f32> {
            self.borrow(|projector| projector.project(trunk)).unwrap_or_default()
        }
        fn weights(&self) -> Option<Arc<ProjectionWeights>> {
            self.borrow(|projector| projector.weights())?
        }
    }
    let there = projector(&file.asset()?, kernels).map_err(|error| file.error(error))?.is_some();
    Ok(there.then(|| Box::new(Owned(file.clone(), kernels)) as OwnedProjector))
}
