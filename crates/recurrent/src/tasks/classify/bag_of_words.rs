//! A classifier that does not know order: multinomial naive Bayes (McCallum and Nigam, "A
//! comparison of event models for naive Bayes text classification", 1998).

use serde::{Deserialize, Serialize};

/// How often each token stood under each label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BagOfWords {
    /// Examples of each label.
    examples: Vec<u64>,
    /// Tokens of each label: as many numbers for each token of the vocabulary as there are labels.
    tokens: Vec<u64>,
}

impl BagOfWords {
    /// Counts the tokens of examples, each with its label.
    pub(super) fn learn<'e>(
        examples: impl IntoIterator<Item = (&'e [u32], u32)>,
        vocabulary_size: usize,
        labels: usize,
    ) -> BagOfWords {
        let mut bag =
            BagOfWords { examples: vec![0; labels], tokens: vec![0; vocabulary_size * labels] };
        for (tokens, label) in examples {
            bag.examples[label as usize] += 1;
            for &token in tokens {
                bag.tokens[token as usize * labels + label as usize] += 1;
            }
        }
        bag
    }

    /// Whether the counts are those of a vocabulary and of labels of these sizes.
    pub(super) fn fits(&self, vocabulary_size: usize, labels: usize) -> bool {
        self.examples.len() == labels && self.tokens.len() == vocabulary_size * labels
    }

    /// The counts as logarithms of probabilities.
    ///
    /// ```text
    /// P(label) = examples of the label / examples
    /// P(token | label) = (count of the token under the label + 1) / (tokens of the label + V)
    /// ```
    ///
    /// V is the number of tokens that the training has at all. Those that it has not say nothing.
    pub(super) fn judge(&self) -> Judge {
        let labels = self.examples.len();
        let counts = self.tokens.chunks_exact(labels);
        let known = counts.clone().filter(|counts| counts.iter().any(|&count| count > 0)).count();
        let mut sums = vec![known as f64; labels];
        for counts in counts.clone() {
            sums.iter_mut().zip(counts).for_each(|(sum, &count)| *sum += count as f64);
        }
        let tokens = counts.flat_map(|counts| {
            let is_known = counts.iter().any(|&count| count > 0);
            let of = move |(&count, sum): (&u64, &f64)| match is_known {
                true => ((count as f64 + 1.0) / sum).ln(),
                false => 0.0,
            };
            counts.iter().zip(&sums).map(of)
        });
        let tokens = tokens.collect();
        let all = self.examples.iter().map(|&count| count as f64).sum::<f64>();
        let examples = self.examples.iter().map(|&count| (count as f64 / all).ln()).collect();
        Judge { examples, tokens }
    }
}

/// The logarithms of the probabilities that [`BagOfWords`] has counted.
pub(super) struct Judge {
    examples: Vec<f64>,
    tokens: Vec<f64>,
}

impl Judge {
    /// The most likely label of these tokens in any order; the first of equally likely ones.
    ///
    /// ```text
    /// ln P(label | tokens) = ln P(label) + sum over tokens of ln P(token | label) + a constant
    /// ```
    pub(super) fn label(&self, tokens: &[u32]) -> u32 {
        // Sorted, so that the sum does not depend on the order to the last bit either.
        let mut tokens = tokens.to_vec();
        tokens.sort_unstable();
        let mut scores = self.examples.clone();
        for token in tokens {
            let of_token = &self.tokens[token as usize * scores.len()..];
            scores.iter_mut().zip(of_token).for_each(|(score, term)| *score += term);
        }
        let mut best = 0;
        for (label, score) in scores.iter().enumerate() {
            if *score > scores[best] {
                best = label;
            }
        }
        best as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_the_example_of_the_textbook() {
        // Manning, Raghavan, Schütze, "Introduction to Information Retrieval", example 13.1:
        // Chinese Beijing Chinese, Chinese Chinese Shanghai, Chinese Macao: China; Tokyo Japan
        // Chinese: not. Tokens: 1 Chinese, 2 Beijing, 3 Shanghai, 4 Macao, 5 Tokyo, 6 Japan.
        let examples: [(&[u32], u32); 4] =
            [(&[1, 2, 1], 1), (&[1, 1, 3], 1), (&[1, 4], 1), (&[5, 6, 1], 0)];
        let judge = BagOfWords::learn(examples, 7, 2).judge();
        let close = |log: f64, expected: f64| assert!((log - expected.ln()).abs() < 1e-12, "{log}");
        close(judge.examples[1], 3.0 / 4.0);
        close(judge.tokens[2 + 1], 3.0 / 7.0);
        close(judge.tokens[10 + 1], 1.0 / 14.0);
        close(judge.tokens[2], 2.0 / 9.0);
        assert_eq!(judge.label(&[1, 1, 1, 5, 6]), 1);
        // Token 0 was never there and says nothing.
        assert_eq!(judge.tokens[..2], [0.0, 0.0]);
        assert_eq!(judge.label(&[5, 5, 0, 0]), 0);
    }

    proptest! {
        #[test]
        fn order_does_not_matter(
            examples in prop::collection::vec((prop::collection::vec(0u32..6, 1..8), 0u32..3), 1..9),
            mut tokens in prop::collection::vec(0u32..6, 1..12),
        ) {
            let judge =
                BagOfWords::learn(examples.iter().map(|(t, l)| (&t[..], *l)), 6, 3).judge();
            let label = judge.label(&tokens);
            tokens.reverse();
            prop_assert_eq!(judge.label(&tokens), label);
        }
    }
}
