use super::*;

#[test]
fn adam_finds_the_bottom_of_a_bowl() {
    let schedule = Schedule { rate: 0.1, epsilon: 1e-8, decay: 0.0, steps: 200 };
    let (mut adam, mut x) = (Adam::new(schedule, 2), [3.0, -2.0]);
    for _ in 0..200 {
        let gradient = [2.0 * (x[0] - 1.0), 2.0 * (x[1] + 1.0)];
        adam.step(&mut x, &gradient);
    }
    assert!((x[0] - 1.0).abs() < 1e-2 && (x[1] + 1.0).abs() < 1e-2, "{x:?}");
}

#[test]
fn training_ends_when_the_loss_rests() {
    let mut stop = EarlyStop::default();
    assert!((0..20).all(|epoch| !stop.push(1.0 / f64::from(epoch + 1))));
    assert_eq!((0..30).find(|_| stop.push(0.05)), Some(PATIENCE - 1));
}

/// A sure answer's gradient has no values that are next to nothing: their products would be subnormal.
#[test]
fn gradients_of_sure_answers_are_zero() {
    let mut logits = Matrix::zeros(1, 3);
    logits.data = vec![60.0, 0.0, 58.0];
    assert!((0.0..0.2).contains(&cross_entropy(&mut logits, &[0])));
    assert!(logits.data[1] == 0.0 && logits.data[2] > 0.1, "{:?}", logits.data);
}
