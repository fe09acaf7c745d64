//! The class of each feature: numbers, or one-hot rows.

use crate::tensors::{TensorError, Tensors};

/// Numbers of classes, from 0.
pub(super) fn read(tensors: &Tensors, name: &str) -> Result<Vec<usize>, TensorError> {
    let array = tensors.get(name)?;
    if array.shape().len() != 1 {
        let shape = array.shape();
        return Err(tensors.error(format!("{name} has shape {shape:?}, not one number a feature")));
    }
    let labels = array.integers().map_err(|problem| tensors.error(format!("{name} {problem}")))?;
    let number = |(row, label): (usize, i64)| {
        let wrong = || tensors.error(format!("{name}: row {row} is {label}, classes begin at 0"));
        usize::try_from(label).map_err(|_| wrong())
    };
    labels.into_iter().enumerate().map(number).collect()
}

/// Classes of one-hot rows, with the number of columns.
pub(super) fn one_hot(tensors: &Tensors, name: &str) -> Result<(Vec<usize>, usize), TensorError> {
    let array = tensors.get(name)?;
    let (rows, columns) = match *array.shape() {
        [rows, columns] if columns > 0 => (rows, columns),
        ref shape => {
            return Err(tensors.error(format!("{name} has shape {shape:?}, not [shots, classes]")));
        }
    };
    let whole = || array.integers().map(|values| values.iter().map(|&v| v as f32).collect());
    let values: Vec<f32> = array.floats().or_else(|_| whole()).map_err(|problem| {
        tensors.error(format!("{name} {problem}, or of floats, with a one in every row"))
    })?;
    let mut labels = Vec::with_capacity(rows);
    for row in 0..rows {
        let ones = &values[row * columns..][..columns];
        let place = ones.iter().position(|&value| value == 1.0);
        let others = ones.iter().filter(|&&value| value != 0.0).count();
        match place {
            Some(class) if others == 1 => labels.push(class),
            _ => {
                return Err(tensors.error(format!(
                    "{name}: row {row} is not one-hot: it must be 1 for the shot's class and 0 for all \
                     others"
                )));
            }
        }
    }
    Ok((labels, columns))
}
