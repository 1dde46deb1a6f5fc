//! A character language model of ours, in training and writing, ready to be timed.

use recurrent_cells::CellKind;
use recurrent_cells::initialize::Initialization;
use recurrent_kernels::{Compute, random::Generator};
use recurrent_topologies::{
    InputConfig, ManyToMany, ManyToManyConfig, Regularization, Sampler, Sampling, StackConfig,
    TokenEncoding, TokenStream,
};
use recurrent_training::{
    ManyToManyObjective, OptimizerConfig, Schedule, Trainer, TrainerConfig, Windows,
};

use crate::layer::{Mode, Shape, Work};

/// Characters that a text such as tinyshakespeare has.
pub(crate) const VOCABULARY: usize = 65;

/// Windows of text before it begins again.
const WINDOWS: usize = 8;

/// Draws from the distribution as it is.
const PLAIN: Sampling = Sampling { temperature: 1.0, top_k: None, top_p: None };

/// The pass of a whole model: an update, or so many characters written.
pub(crate) fn work(shape: Shape, compute: &Compute) -> Work {
    let model = build(&shape);
    let mut generator = Generator::new(1, 0);
    let parameters = model
        .initialize::<f32>(&mut generator, Initialization::Uniform, None)
        .expect("a model has its own parameters");
    if shape.mode == Mode::Write {
        let mut stream = model.stream(compute, parameters, 1);
        let mut sampler =
            Sampler::new(compute.level(), PLAIN).expect("the plain distribution can be drawn from");
        let mut token = 0;
        return Box::new(move || {
            for _ in 0..shape.steps {
                let logits = stream.step(&[token]);
                token = sampler
                    .draw(logits.column(0), None, &mut generator)
                    .expect("a new model gives a distribution");
            }
        });
    }
    let Shape { batch, steps, .. } = shape;
    let count = batch * steps * WINDOWS + 1;
    let text: Vec<u32> = (0..count).map(|_| generator.below(VOCABULARY as u64) as u32).collect();
    let text = Windows::new(&text, batch, steps);
    let windows: Vec<_> = (0..text.count()).map(|window| text.get(window)).collect();
    let config = TrainerConfig {
        optimizer: OptimizerConfig::ADAM,
        learning_rate: 0.002,
        schedule: Schedule::Constant,
        warm_up: 0,
        clip_value: None,
        clip_norm: Some(5.0),
        patience: None,
    };
    let objective = ManyToManyObjective::new(model, batch, 1);
    let mut trainer = Trainer::new(config, compute.clone(), objective, parameters)
        .expect("a usual configuration");
    let mut windows = (0..windows.len()).cycle().map(move |window| windows[window].clone());
    Box::new(move || {
        let window = windows.next().expect("the text begins again");
        trainer.step(&window).expect("a small learning rate moves finite parameters");
    })
}

fn build(shape: &Shape) -> ManyToMany {
    let cell = match shape.cell {
        "lstm" => CellKind::Lstm,
        "gru" => CellKind::Gru,
        _ => CellKind::RnnTanh,
    };
    let encoding = TokenEncoding::Embedding(shape.input);
    ManyToManyConfig {
        input: InputConfig::Tokens { vocabulary_size: VOCABULARY, encoding },
        stack: StackConfig {
            cell,
            hidden_size: shape.hidden,
            num_layers: 1,
            bidirectional: false,
            dropout: 0.0,
            regularization: Regularization::NONE,
        },
        output_size: VOCABULARY,
    }
    .build()
    .expect("a usual model")
}
