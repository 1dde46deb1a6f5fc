//! `demo hello`: the smallest language model there is. It reads one word, letter by letter, learns
//! which letter comes next, and then writes the word by reading what it wrote itself.

use recurrent_cells::initialize::Initialization;
use recurrent_cells::{CellKind, Parameters};
use recurrent_kernels::random::Generator;
use recurrent_kernels::{ColumnsMut, Compute, loss};
use recurrent_topologies::{
    Constraints, Ended, InputConfig, Lengths, ManyToMany, ManyToManyConfig, ManyToManyTape,
    Reading, Regularization, Sampler, Sampling, StackConfig, TokenEncoding, sample,
};
use recurrent_training::{
    ManyToManyObjective, OptimizerConfig, Schedule, Trainer, TrainerConfig, Window,
};

use crate::cli::{Outcome, print_line, remark};

/// The tokens: four letters, and the end of the word.
const TOKENS: [&str; 5] = ["h", "e", "l", "o", "<end>"];
const END: u32 = 4;
/// "hello", and what comes after each of its letters.
const READ: [u32; 5] = [0, 1, 2, 2, 3];
const NEXT: [u32; 5] = [1, 2, 2, 3, END];
const STEPS: u64 = 100;

pub(super) fn run(quiet: bool) -> anyhow::Result<Outcome> {
    remark(
        quiet,
        "A recurrent network with a hidden state of 8 numbers reads the word `hello`. Each letter \
         enters as\na one-hot vector; after each the network says which letter it expects next. The \
         same weights\nwork at every step. After the first `l` it must say `l`, after the second \
         `o`: the letter alone\ndoes not tell, the hidden state must remember.\n",
    );
    let config = ManyToManyConfig {
        input: InputConfig::Tokens {
            vocabulary_size: TOKENS.len(),
            encoding: TokenEncoding::OneHot,
        },
        stack: StackConfig {
            cell: CellKind::RnnTanh,
            hidden_size: 8,
            num_layers: 1,
            bidirectional: false,
            dropout: 0.0,
            regularization: Regularization::NONE,
        },
        output_size: TOKENS.len(),
    };
    let (model, compute) = (config.build()?, Compute::sequential());
    let parameters: Parameters<f32> =
        model.initialize(&mut Generator::new(1, 1), Initialization::Uniform, None)?;
    print_line("Before it has learnt anything:\n")?;
    show(&compute, &model, &parameters)?;

    let window = Window {
        tokens: READ.to_vec(),
        targets: NEXT.to_vec(),
        lengths: Lengths::equal(1, READ.len()),
        carries_state: false,
        carry_after: None,
    };
    let trainer = TrainerConfig {
        optimizer: OptimizerConfig::ADAM,
        learning_rate: 0.03,
        schedule: Schedule::Constant,
        warm_up: 0,
        clip_value: None,
        clip_norm: Some(5.0),
        patience: None,
    };
    let objective = ManyToManyObjective::without_carry(model.clone(), 1);
    let mut trainer = Trainer::new(trainer, compute.clone(), objective, parameters)?;
    let mut last = f64::NAN;
    for _ in 0..STEPS {
        last = trainer.step(&window)?.loss.mean();
    }
    print_line(format!(
        "\nAfter {STEPS} steps of backpropagation through time (loss {last:.3} nats per letter; \
         guessing\namong five gives {:.3}):\n",
        (TOKENS.len() as f64).ln()
    ))?;
    show(&compute, &model, trainer.parameters())?;

    let mut stream = model.stream(&compute, trainer.parameters().clone(), 1);
    let greedy = Sampling { temperature: 0.0, top_k: None, top_p: None };
    let mut sampler = Sampler::new(compute.level(), greedy)?;
    let constraints = Constraints { end: Some(END), ..Constraints::new(20) };
    let generators = &mut [Generator::new(1, 2)];
    let mut written = sample(&mut stream, &READ[..1], &constraints, &mut sampler, generators)?;
    let hypothesis = written.swap_remove(0);
    let mut path = vec![TOKENS[READ[0] as usize]];
    path.extend(hypothesis.tokens.iter().map(|&token| TOKENS[token as usize]));
    let why = match hypothesis.ended {
        Ended::EndToken => {
            path.push(TOKENS[END as usize]);
            "it said the end token"
        }
        _ => "it had written 20 letters",
    };
    print_line(format!(
        "\nNow it is given `h` alone, and every letter that it says is its next input:\n\n    {}\n\n\
         It stopped because {why}.",
        path.join(" -> ")
    ))?;
    Ok(Outcome::Done)
}

/// A line for every step: the letter, its one-hot vector, and how likely each next one is.
fn show(compute: &Compute, model: &ManyToMany, parameters: &Parameters<f32>) -> anyhow::Result<()> {
    let (lengths, state) = (Lengths::equal(1, READ.len()), model.zero_state(1));
    let mut tape = ManyToManyTape::default();
    let reading = Reading::Tokens(&READ);
    let recorded = model.forward(compute, parameters, reading, &state, &lengths, None, &mut tape);
    let names: String = TOKENS.iter().map(|token| format!("{token:>7}")).collect();
    print_line(format!("    reads  one-hot      expects{names}"))?;
    for (t, (&read, &next)) in READ.iter().zip(&NEXT).enumerate() {
        let mut shares = recorded.logits().column(t).to_vec();
        let rows = shares.len();
        loss::softmax(compute.level(), ColumnsMut::new(&mut shares, rows, 1));
        let one_hot: Vec<&str> =
            (0..rows as u32).map(|token| if token == read { "1" } else { "0" }).collect();
        let best = crate::tasks::examples::largest(&shares);
        let mark = if best == next { "" } else { "   (wrong)" };
        let shares: String =
            shares.iter().map(|share| format!("{:>5.0} %", 100.0 * share)).collect();
        print_line(format!(
            "    {:5}  {}    {:7}{shares}{mark}",
            TOKENS[read as usize],
            one_hot.join(" "),
            TOKENS[best as usize]
        ))?;
    }
    Ok(())
}
