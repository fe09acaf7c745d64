/// How the features of a matrix lie in their file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A feature a row: `[N, D]`, or `[C, D]` for text.
    Rows,
    /// A feature a column, as Tip-Adapter's own code stores them: `[D, N]`, or `[D, C]` for text.
    Columns,
}

impl Layout {
    /// The layout of a matrix that should have `count` features of `dim` values, where they are known;
    /// `asked` decides where both would do.
    ///
    /// # Errors
    /// The shape fits neither, or both; the text goes on behind the matrix's name.
    pub(super) fn of(
        shape: &[usize],
        count: Option<usize>,
        dim: Option<usize>,
        asked: Option<Self>,
    ) -> Result<Self, String> {
        let &[first, second] = shape else {
            return Err(format!("has shape {shape:?}, not rows of features"));
        };
        if first == 0 || second == 0 {
            return Err(format!("has shape {shape:?}: there is nothing in it"));
        }
        let fits = |rows, values| {
            count.is_none_or(|count| count == rows) && dim.is_none_or(|dim| dim == values)
        };
        match (fits(first, second), fits(second, first), asked) {
            (true, true, None) => Err(format!(
                "has shape {shape:?}: it cannot be seen whether a feature is a row or a column; say \
                 --layout rows or --layout columns"
            )),
            (true, _, None | Some(Self::Rows)) => Ok(Self::Rows),
            (_, true, None | Some(Self::Columns)) => Ok(Self::Columns),
            _ => {
                let side = |side: Option<usize>, any| side.map_or(any, |side| side.to_string());
                let count = side(count, "any number of".to_owned());
                let dim = side(dim, "any number of".to_owned());
                Err(format!("has shape {shape:?}: it should be {count} features of {dim} values"))
            }
        }
    }

    /// The features of values in this layout, `first` times `second` of them.
    pub(super) fn rows(self, values: &[f32], &[first, second]: &[usize; 2]) -> Vec<Vec<f32>> {
        match self {
            Self::Rows => (0..first).map(|row| values[row * second..][..second].to_vec()).collect(),
            Self::Columns => {
                let column = |column| (0..first).map(|row| values[row * second + column]).collect();
                (0..second).map(column).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_decides_where_it_can() {
        let of = |count, dim, asked| Layout::of(&[4, 6], count, dim, asked);
        assert_eq!(of(Some(4), None, None), Ok(Layout::Rows));
        assert_eq!(of(Some(6), None, None), Ok(Layout::Columns));
        assert_eq!(of(None, Some(4), None), Ok(Layout::Columns));
        for (count, dim, asked) in [
            (Some(5), None, None),
            (Some(4), Some(4), None),
            (Some(4), None, Some(Layout::Columns)),
        ] {
            let error = of(count, dim, asked).unwrap_err();
            assert!(error.contains("[4, 6]") && error.contains("features of"), "{error}");
        }
        assert!(of(None, None, None).unwrap_err().contains("--layout"));
        assert_eq!(of(None, None, Some(Layout::Columns)), Ok(Layout::Columns));
        assert!(Layout::of(&[4], Some(4), None, None).is_err());
        assert!(Layout::of(&[usize::MAX, 0], None, None, None).unwrap_err().contains("nothing"));
        let square = Layout::of(&[4, 4], Some(4), Some(4), None).unwrap_err();
        assert!(square.contains("--layout"), "{square}");
    }

    #[test]
    fn columns_become_rows() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let rows = [vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0]];
        assert_eq!(Layout::Rows.rows(&values, &[2, 3]), rows);
        let columns = [vec![1.0, 4.0], vec![2.0, 5.0], vec![3.0, 6.0]];
        assert_eq!(Layout::Columns.rows(&values, &[2, 3]), columns);
    }
}
