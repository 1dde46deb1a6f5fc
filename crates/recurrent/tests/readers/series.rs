//! Tables of numbers: a long series, or many short ones with labels.

use recurrent::data::{Columns, Series, numbers::LabelledTable, source};

use super::{assert_names, choice, put, seed};

pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    let path = put(if choice & 1 == 0 { "a.csv" } else { "a.tsv" }, bytes);
    let source = source::open(&path).expect("the file is there");
    let picked = match choice >> 3 & 7 {
        0..=2 => None,
        3 => Some(vec!["1"]),
        4 => Some(vec!["2", "1", "3"]),
        5 => Some(vec!["series", "label", "y"]),
        6 => Some(vec!["0", "x", "18446744073709551616"]),
        _ => Some(vec!["3", "3", "3", "3"]),
    };
    let picked = picked.map(|names| names.into_iter().map(str::to_owned).collect());
    let columns = Columns { picked, header: choice & 2 == 0 };
    let names = |error: recurrent::data::DataError| {
        if !error.to_string().starts_with("--columns") {
            assert_names(&error, &path);
        }
    };
    if choice & 4 == 0 {
        match Series::read(&source, &columns) {
            Err(error) => names(error),
            Ok(series) => {
                assert!(!series.columns.is_empty());
                assert!(series.values.iter().all(|value| value.is_finite()));
                assert_eq!(series.steps() * series.columns.len(), series.values.len());
                assert!(series.steps() > 0);
                assert_eq!(Series::read(&source, &columns).ok(), Some(series.clone()));
                written(&series);
            }
        }
    } else {
        match LabelledTable::read(&source, &columns) {
            Err(error) => names(error),
            Ok(table) => {
                assert!(!table.features.is_empty() && !table.series.is_empty());
                for series in &table.series {
                    assert!(!series.id.is_empty() && !series.label.is_empty() && series.line > 0);
                    assert!(!series.values.is_empty());
                    assert!(series.values.len().is_multiple_of(table.features.len()));
                    assert!(series.values.iter().all(|value| value.is_finite()));
                }
                assert_eq!(LabelledTable::read(&source, &columns).ok(), Some(table));
            }
        }
    }
}

/// The numbers come back from what is written of them, bit for bit.
fn written(series: &Series) {
    let width = series.columns.len();
    let mut text: String =
        (0..width).map(|at| format!("{}c{at}", if at > 0 { "," } else { "" })).collect();
    for step in 0..series.steps() {
        let row: Vec<String> = series.row(step).iter().map(f64::to_string).collect();
        text = text + "\n" + &row.join(",");
    }
    let format = recurrent::data::table::Format::Commas;
    let again = Series::parse("b", &text, format, &Columns::default()).expect("numbers are read");
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&again.values), bits(&series.values));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let plain = "1\n2.5\n-3e-300\n";
    let named = "x,\"y\",z\n1,2,3\n4, 5 ,\"-6.25\"\n1e308,0,.5\n";
    let labelled = "series,label,x,y\na,up,1,2\nb,down,3,4\na,up,5,6\n";
    let texts = [plain, named, labelled];
    let choices = 0..64;
    choices
        .map(|choice| {
            let text = texts[usize::from(choice) % 3];
            seed(choice, if choice & 1 == 0 { text.to_owned() } else { text.replace(',', "\t") })
        })
        .collect()
}
