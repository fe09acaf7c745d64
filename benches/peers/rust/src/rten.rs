//! rten on an ONNX file.

use std::sync::Arc;

use ::rten::{Model, ModelOptions, RunOptions, ThreadPool, Value};
use anyhow::Result;
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

pub struct Rten {
    model: Model,
    options: RunOptions,
    side: usize,
    x: Tensor<f32>,
    y: Option<Value>,
}

impl Rten {
    pub fn new(model: &str, threads: usize, side: usize) -> Result<Self> {
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(true);
        options.prepack_weights(true);
        let pool = Arc::new(ThreadPool::with_num_threads(threads));
        Ok(Self {
            model: options.load_file(model)?,
            options: RunOptions::default().with_thread_pool(Some(pool)),
            side,
            x: Tensor::zeros(&[1, 3, side, side]),
            y: None,
        })
    }

    /// Takes a picture, [1,3,side,side].
    pub fn set(&mut self, x: Vec<f32>) -> Result<()> {
        self.x = Tensor::from_data(&[1, 3, self.side, self.side], x);
        Ok(())
    }

    pub fn run(&mut self) -> Result<()> {
        let (input, output) = (self.model.input_ids()[0], self.model.output_ids()[0]);
        let inputs = vec![(input, self.x.view().into())];
        self.y = self.model.run(inputs, &[output], Some(self.options.clone()))?.pop();
        Ok(())
    }

    /// What the last run gave.
    pub fn output(&self) -> Result<Vec<f32>> {
        let y: Tensor<f32> = self.y.clone().expect("a run").try_into()?;
        Ok(y.to_vec())
    }
}
