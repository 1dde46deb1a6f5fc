//! Tables of numbers: series to forecast and to classify, and bad input with the line that a
//! person sees.

#[path = "support/files.rs"]
mod files;

use files::Files;
use proptest::prelude::*;
use recurrent::data::{Columns, Series, numbers::LabelledTable, source, table::Format};

fn picked(columns: &[&str], header: bool) -> Columns {
    Columns { picked: Some(columns.iter().map(|&column| column.to_owned()).collect()), header }
}

fn read_as(name: &str, content: impl AsRef<[u8]>, columns: Columns) -> Result<Series, String> {
    let files = Files::new();
    let source = files.put(name, content);
    Series::read(&source, &columns).map_err(|error| files.message(&error))
}

fn read(content: &str) -> Result<Series, String> {
    read_as("d.csv", content, Columns::default())
}

fn labelled(content: impl AsRef<[u8]>, columns: Columns) -> Result<LabelledTable, String> {
    let files = Files::new();
    let source = files.put("d.csv", content);
    LabelledTable::read(&source, &columns).map_err(|error| files.message(&error))
}

#[test]
fn all_columns_or_those_picked() {
    let content = "\"load\",\"temp\"\r\n1,-2.5\r\n3,4e-1\r\n";
    let series = read(content).unwrap();
    assert_eq!((&series.columns[..], series.steps()), (&["load".into(), "temp".into()][..], 2));
    assert_eq!((series.row(0), series.row(1)), (&[1.0, -2.5][..], &[3.0, 0.4][..]));
    assert_eq!(series.name.rsplit('/').next(), Some("d.csv"));

    let temp = read_as("d.csv", content, picked(&["temp"], true)).unwrap();
    assert_eq!((&temp.columns[0][..], &temp.values[..]), ("temp", &[-2.5, 0.4][..]));
    let swapped = read_as("d.csv", content, picked(&["2", "load"], true)).unwrap();
    assert_eq!(swapped.row(1), [0.4, 3.0]);
}

#[test]
fn a_number_a_line_needs_no_option() {
    for columns in [Columns::default(), Columns { picked: None, header: false }] {
        let series = read_as("d.txt", "\u{FEFF}1.5e-01\r\n-2\r\n\r\n", columns).unwrap();
        assert_eq!((&series.columns[0][..], &series.values[..]), ("1", &[0.15, -2.0][..]));
    }
    assert_eq!(read_as("d.txt", "value\n7\n", Columns::default()).unwrap().values, [7.0]);
    assert_eq!(read_as("d.tsv", "1\t2\n3\t4\n", picked(&["2"], true)).unwrap().values, [2.0, 4.0]);
}

#[test]
fn a_date_beside_the_columns_picked_by_number_makes_no_header() {
    let rows = "2020-01-01,5,2\n2020-01-02,6,3\n";
    let read = |content: &str, columns: &[&str]| read_as("d.csv", content, picked(columns, true));
    for columns in [["2", "3"], ["3", " 2"]] {
        assert_eq!(read(rows, &columns).unwrap().steps(), 2);
    }
    let series = read(rows, &["2"]).unwrap();
    assert_eq!((&series.columns[0][..], &series.values[..]), ("2", &[5.0, 6.0][..]));
    // A header is one as before, and so is the line that a column is picked from by name.
    let headed = read(&format!("day,load,price\n{rows}"), &["3"]).unwrap();
    assert_eq!((&headed.columns[0][..], &headed.values[..]), ("price", &[2.0, 3.0][..]));
    let named = read(&format!("day,7,price\n{rows}"), &["7", "price"]).unwrap();
    assert_eq!(named.row(1), [6.0, 3.0]);
    // Numbers of columns that are not there.
    for column in ["0", "4"] {
        let error = read(rows, &[column]).unwrap_err();
        let message = format!("there is no column {column}; its columns are numbered from 1 to 3");
        assert!(error.contains(&message), "{error}");
    }
}

#[test]
fn cells_that_are_no_finite_numbers() {
    let fill_in = "fill it in, or leave the line out";
    for cell in ["NaN", "inf", "-Infinity", "1e999"] {
        assert_eq!(
            read(&format!("a,b\n1,2\n{cell},{cell}\n")).unwrap_err(),
            format!(
                "d.csv:3: the column \"a\" holds {cell:?}, which is not a finite number; {fill_in}"
            )
        );
    }
    assert_eq!(
        read("a,b\n1,2\n,3\n").unwrap_err(),
        format!("d.csv:3: the column \"a\" is empty; {fill_in}")
    );
    assert_eq!(
        read("a\n1\nn/a\n").unwrap_err(),
        format!("d.csv:3: the column \"a\" holds \"n/a\", which is not a finite number; {fill_in}")
    );
    assert_eq!(
        read_as("d.tsv", "a\n1\n2,5\n", Columns::default()).unwrap_err(),
        "d.tsv:3: the column \"a\" holds \"2,5\", which is not a finite number; write a point \
         before decimals, and nothing between thousands"
    );
}

#[test]
fn dates_are_left_out_by_picking_the_others() {
    let content = "\"Date\",\"Temp\"\n\"1981-01-01\",20.7\n";
    assert_eq!(
        read(content).unwrap_err(),
        "d.csv:2: the column \"Date\" holds \"1981-01-01\", which is not a finite number; read \
         columns of numbers alone, with --columns Temp, or fill it in, or leave the line out"
    );
    assert_eq!(read_as("d.csv", content, picked(&["Temp"], true)).unwrap().values, [20.7]);
    assert_eq!(
        read_as("d.csv", content, picked(&["Wind"], true)).unwrap_err(),
        "d.csv: no column is called \"Wind\"; the first line is \"\\\"Date\\\",\\\"Temp\\\"\", so \
         the columns are called \"Date\", \"Temp\"; --columns takes these names, or numbers from 1"
    );
    let ragged = read("a,b\n1,2\n3\n").unwrap_err();
    assert!(ragged.starts_with("d.csv:3: has 1 column, but line 1 has 2; "), "{ragged}");
}

#[test]
fn series_with_labels() {
    let content = "x,series,y,label\n1,s,2,up\n3,t,4,down\n5,s,6,up\n";
    let table = labelled(content, Columns::default()).unwrap();
    assert_eq!(table.features, ["x", "y"]);
    let [s, t] = &table.series[..] else { panic!("{table:?}") };
    assert_eq!(
        (&s.id[..], &s.label[..], s.line, &s.values[..]),
        ("s", "up", 2, &[1., 2., 5., 6.][..])
    );
    assert_eq!((&t.id[..], &t.label[..], t.line, &t.values[..]), ("t", "down", 3, &[3., 4.][..]));

    let by_number = labelled("1,s,2,up\n", picked(&["2", "4", "3"], false)).unwrap();
    assert_eq!(
        (&by_number.series[0].label[..], &by_number.series[0].values[..]),
        ("up", &[2.0][..])
    );
    let in_order = labelled("s,up,2\n", Columns { picked: None, header: false }).unwrap();
    assert_eq!((&in_order.features[0][..], &in_order.series[0].values[..]), ("3", &[2.0][..]));
}

#[test]
fn series_with_labels_that_are_wrong() {
    let read = |content: &str| labelled(content, Columns::default()).unwrap_err();
    assert_eq!(
        read("series,label,x\ns,up,1\nt,up,2\ns,down,3\n"),
        "d.csv:4: the series \"s\" has the label \"down\" here and \"up\" before; every row of a \
         series has the same label"
    );
    assert_eq!(
        read("series,label,x\ns,up,1\ns,up,NaN\n"),
        "d.csv:3: the column \"x\" holds \"NaN\", which is not a finite number; fill it in, or \
         leave the line out"
    );
    assert_eq!(
        read("series,label,x\ns,,1\n"),
        "d.csv:2: the column \"label\" is empty; fill it in, or leave the line out"
    );
    assert_eq!(
        read("id,label,x\ns,up,1\n"),
        "d.csv: no column is called \"series\"; the first line is \"id,label,x\", so the columns \
         are called \"id\", \"label\", \"x\"; say with --columns which columns are series, label, \
         features..."
    );
    assert_eq!(
        read("series,label\ns,up\n"),
        "d.csv:1: has 2 columns, but needed are series, label, features...; commas separate the \
         columns of a .csv file; put quotes around a cell with one"
    );
    assert_eq!(
        labelled("series,label,x\ns,up,1\n", picked(&["series", "label"], true)).unwrap_err(),
        "--columns names 2 columns, but needed are 3 or more: series, label, features..."
    );
}

#[test]
fn no_column_is_picked() {
    let error = read_as("d.csv", "a\n1\n", picked(&[], true)).unwrap_err();
    assert_eq!(error, "--columns names 0 columns, but needed are 1 or more");
}

#[test]
fn built_in_text_is_no_series() {
    let text = source::open("builtin:text").unwrap();
    let columns = Columns::default();
    let error = Series::read(&text, &columns).unwrap_err().to_string();
    assert_eq!(error, "builtin:text: is not a series");
    let error = LabelledTable::read(&text, &columns).unwrap_err().to_string();
    assert_eq!(error, "builtin:text: is not a table of series");
}

proptest! {
    #[test]
    fn numbers_come_back_bit_for_bit(
        rows in prop::collection::vec(prop::collection::vec(prop::num::f64::NORMAL, 2), 1..8),
        header in any::<bool>(),
    ) {
        let lines = rows.iter().map(|row| format!("{:?},{:?}\n", row[0], row[1]));
        let text = if header { "a,b\n" } else { "" }.to_owned() + &lines.collect::<String>();
        let series = Series::parse("d", &text, Format::Commas, &Columns::default()).unwrap();
        prop_assert_eq!(series.values, rows.concat());
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "[0-9eE.+,\t\"\n-]{0,40}".prop_map(String::into_bytes),
            "series,label,x\n[st0-9,.\n]{0,30}".prop_map(String::into_bytes),
        ],
        column in "[0-9a-z]{0,2}",
    ) {
        let (one, three) = (picked(&[&column], true), picked(&[&column, "2", "3"], false));
        for columns in [Columns::default(), one, three] {
            for name in ["d.csv", "d.txt"] {
                if let Ok(series) = read_as(name, &bytes, columns.clone()) {
                    prop_assert!(series.steps() > 0 && series.values.iter().all(|v| v.is_finite()));
                }
            }
            if let Ok(table) = labelled(&bytes, columns) {
                for series in &table.series {
                    prop_assert!(series.values.len() >= table.features.len());
                    prop_assert!(series.values.len().is_multiple_of(table.features.len()));
                }
            }
        }
    }
}
