//! Tables: columns found, bad input with the line that a person sees, quoting against `csv`.

#[path = "support/files.rs"]
mod files;

use files::Files;
use proptest::prelude::*;
use recurrent::data::{
    Columns, Table,
    table::{Format, column_names},
};

const WANTED: [&str; 2] = ["text", "label"];

fn picked(columns: &[&str], header: bool) -> Columns {
    Columns { picked: Some(columns.iter().map(|&column| column.to_owned()).collect()), header }
}

fn no_header() -> Columns {
    Columns { picked: None, header: false }
}

/// Line and cells of each row, or the message.
fn read_as(
    name: &str,
    content: impl AsRef<[u8]>,
    columns: &Columns,
) -> Result<Vec<(usize, Vec<String>)>, String> {
    let files = Files::new();
    let source = files.put(name, content);
    let table = Table::read(&source, &WANTED, columns).map_err(|error| files.message(&error))?;
    Ok(table.rows.into_iter().map(|row| (row.line, row.cells)).collect())
}

fn read(name: &str, content: &str) -> Result<Vec<(usize, Vec<String>)>, String> {
    read_as(name, content, &Columns::default())
}

fn row(line: usize, text: &str, label: &str) -> (usize, Vec<String>) {
    (line, vec![text.to_owned(), label.to_owned()])
}

#[test]
fn columns_are_found_by_name_in_any_order_and_among_others() {
    let expected = [row(2, "good", "pos"), row(3, "bad", "neg")];
    assert_eq!(read("d.tsv", "text\tlabel\ngood\tpos\nbad\tneg\n").unwrap(), expected);
    assert_eq!(read("d.TXT", "Label\tid\tText\npos\t1\tgood\nneg\t2\tbad").unwrap(), expected);
    assert_eq!(read("d.csv", "label,text\npos,good\nneg,bad\n\n\n").unwrap(), expected);
}

#[test]
fn columns_are_picked_by_name_or_number_in_any_file() {
    let (tabs, commas) = ("a\tb\tc\n1\t2\t3\n", "a,b,c\n1,2,3\n");
    for (name, content) in [("d.tsv", tabs), ("d.csv", commas)] {
        let read = |columns: &[&str], header| read_as(name, content, &picked(columns, header));
        assert_eq!(read(&["c", "a"], true).unwrap(), [row(2, "3", "1")]);
        assert_eq!(read(&["3", "1"], true).unwrap(), [row(2, "3", "1")]);
        assert_eq!(read(&["2", "2"], false).unwrap(), [row(1, "b", "b"), row(2, "2", "2")]);
        assert_eq!(
            read(&["a", "2"], false).unwrap_err(),
            format!(
                "{name}: the column \"a\" cannot be found by its name, because there is no header; \
                 give its number, from 1 to 3"
            )
        );
        assert_eq!(
            read(&["4", "1"], true).unwrap_err(),
            format!("{name}: there is no column 4; its columns are numbered from 1 to 3")
        );
        assert!(read(&["0", "1"], true).is_err());
        assert_eq!(
            read(&["a"], true).unwrap_err(),
            "--columns names 1 column, but needed are 2: text, label"
        );
        assert_eq!(read_as(name, content, &no_header()).unwrap()[0], row(1, "a", "b"));
    }
    let years = "2024\t1\n7\t8\n";
    assert_eq!(read_as("d.tsv", years, &picked(&["1", "2024"], true)).unwrap(), [row(2, "8", "7")]);
}

#[test]
fn a_missing_column_quotes_the_first_line() {
    assert_eq!(
        read("d.csv", "review,label\ngood,pos\n").unwrap_err(),
        "d.csv: no column is called \"text\"; the first line is \"review,label\", so the columns \
         are called \"review\", \"label\"; say with --columns which columns are text, label"
    );
    assert_eq!(
        read("d.tsv", "a fine film\t1\na bad one\t0\n").unwrap_err(),
        "d.tsv: no column is called \"text\"; the first line is \"a fine film\\t1\", so the \
         columns are called \"a fine film\", \"1\"; say with --columns which columns are text, \
         label, or with --no-header that the first line is data"
    );
    assert_eq!(
        read_as("d.csv", "a,b\n1,2\n", &picked(&["a", "c"], true)).unwrap_err(),
        "d.csv: no column is called \"c\"; the first line is \"a,b\", so the columns are called \
         \"a\", \"b\"; --columns takes these names, or numbers from 1"
    );
    assert_eq!(
        read("d.csv", "text;label\ngood;pos\n").unwrap_err(),
        "d.csv: no column is called \"text\"; the first line is \"text;label\", so the columns are \
         called \"text;label\"; there is one column only: commas separate the columns of a .csv \
         file; put quotes around a cell with one"
    );
    assert_eq!(
        read("d.csv", "text,text,label\na,b,c\n").unwrap_err(),
        "d.csv: two columns are called \"text\"; pick one by its number, from 1, with --columns"
    );
    assert_eq!(
        read_as("d.tsv", "\nalone\n", &no_header()).unwrap_err(),
        "d.tsv:2: has 1 column, but needed are text, label; tabs separate the columns of a .tsv \
         or .txt file, so no cell holds one"
    );
}

#[test]
fn rows_with_other_numbers_of_columns() {
    assert_eq!(
        read("d.tsv", "text\tlabel\ngood\tpos\na\tb\tc\n").unwrap_err(),
        "d.tsv:3: has 3 columns, but line 1 has 2; tabs separate the columns of a .tsv or .txt \
         file, so no cell holds one"
    );
    assert_eq!(
        read("d.csv", "text,label\n\"two\nlines\",pos\nalone\n").unwrap_err(),
        "d.csv:4: has 1 column, but line 1 has 2; commas separate the columns of a .csv file; \
         put quotes around a cell with one"
    );
}

#[test]
fn cells_that_are_empty() {
    let expected = |name| {
        format!("{name}:3: the column \"label\" is empty; fill it in, or leave the line out")
    };
    assert_eq!(read("d.tsv", "text\tlabel\na\tb\nc\t \n").unwrap_err(), expected("d.tsv"));
    assert_eq!(read("d.csv", "text,label\na,b\nc,\"\"\n").unwrap_err(), expected("d.csv"));
    assert_eq!(
        read_as("d.tsv", "\tb\n", &no_header()).unwrap_err(),
        "d.tsv:1: the column \"1\" is empty; fill it in, or leave the line out"
    );
    let other = "text\tid\tlabel\na\t\tb\n";
    assert_eq!(read("d.tsv", other).unwrap(), [row(2, "a", "b")], "nobody reads the column id");
}

#[test]
fn a_quote_in_a_tsv_is_text() {
    let table = read("d.tsv", "text\tlabel\n\"to be\tquote\n\"a \"\"b\"\tq\"\n").unwrap();
    assert_eq!(table, [row(2, "\"to be", "quote"), row(3, "\"a \"\"b\"", "q\"")]);
}

#[test]
fn quotes_in_a_csv() {
    let table = read("d.csv", "text,label\n\"a, \"\"b\"\"\nc\", \"q\" \n5\" disk,x\n").unwrap();
    assert_eq!(table, [row(2, "a, \"b\"\nc", "q"), row(4, "5\" disk", "x")]);
    assert_eq!(
        read("d.csv", "text,label\na,b\nc,\"d\ne,f\n").unwrap_err(),
        "d.csv:3: a quoted cell begins here and never ends; a quote inside it is written twice: \
         \"\""
    );
    assert_eq!(
        read("d.csv", "text,label\n\"a\nb\" c,d\n").unwrap_err(),
        "d.csv:3: 'c' follows the end of a quoted cell; put a comma between cells, and write a \
         quote inside a cell twice: \"\""
    );
}

#[test]
fn line_ends_marks_and_empty_lines() {
    let expected = [row(3, "a", "b"), row(5, "c", "d")];
    let tabs = "\u{FEFF}\r\ntext\tlabel\r\na\tb\r\n\r\nc\td\r\n\r\n";
    assert_eq!(read("d.tsv", tabs).unwrap(), expected);
    assert_eq!(read("d.csv", &tabs.replace('\t', ",")).unwrap(), expected);
    assert_eq!(
        read("d.csv", "\u{FEFF}\"text\",\"label\"\n\"a\",\"b\"").unwrap(),
        [row(2, "a", "b")]
    );
}

#[test]
fn files_that_are_no_tables() {
    assert_eq!(read("d.tsv", "").unwrap_err(), "d.tsv: is empty; give a file with text in it");
    let nothing = ": holds no examples; give a file with at least one line of data";
    assert_eq!(read("d.tsv", "\n\n").unwrap_err(), format!("d.tsv{nothing}"));
    assert_eq!(read("d.csv", "text,label\n").unwrap_err(), format!("d.csv{nothing}"));
    assert_eq!(
        read("d.json", "{}").unwrap_err(),
        "d.json: is it separated by tabs or by commas? a table's name ends in .tsv or .txt (tabs, \
         no quoting) or in .csv (commas, quoted cells): rename it"
    );
    assert!(
        read_as("d.tsv", b"text\tlabel\nna\xEFve\tx\n", &Columns::default())
            .unwrap_err()
            .starts_with("d.tsv: is not UTF-8 text: byte 0xEF at offset 13 (line 2)")
    );
}

#[test]
fn the_names_of_a_header() {
    let files = Files::new();
    let source = files.put("d.csv", "series, \"label\" ,x\n1,2,3\n");
    assert_eq!(column_names(&source, &Columns::default()).unwrap(), ["series", "label", "x"]);
    assert!(column_names(&source, &no_header()).unwrap().is_empty());
}

#[test]
fn a_folder_with_one_file_a_label() {
    let files = Files::new();
    files.put("names/Greek.txt", "Nikolaou\r\n\r\n  Vlahos\u{A0}\n");
    files.put("names/Czech.txt", "\u{FEFF}Čapek");
    files.put("names/.hidden", "x");
    let source = recurrent::data::source::open(files.path("names")).unwrap();
    let read =
        |columns: Columns| Table::read_labelled(&source, &columns).map_err(|e| files.message(&e));
    let table = read(Columns::default()).unwrap();
    assert!(table.rows[0].name.ends_with("names/Czech.txt"), "{}", table.rows[0].name);
    let rows: Vec<_> = table.rows.into_iter().map(|row| (row.line, row.cells)).collect();
    assert_eq!(
        rows,
        [row(1, "Čapek", "Czech"), row(1, "Nikolaou", "Greek"), row(3, "Vlahos", "Greek")]
    );

    assert_eq!(
        read(no_header()).unwrap_err(),
        "names: is a folder with one file a label; --columns and --no-header are for tables"
    );
    files.put("names/Irish.txt", "\n \n");
    assert_eq!(
        read(Columns::default()).unwrap_err(),
        "names/Irish.txt: holds no examples; give a file with at least one line of data"
    );
    files.put("names/A.md", "About these names");
    assert_eq!(
        read(Columns::default()).unwrap_err(),
        "names/A.md: is not a .txt file; a folder of labels holds one file a label, LABEL.txt, and \
         nothing else: move it elsewhere"
    );
    files.put("empty/.keep", "");
    let empty = recurrent::data::source::open(files.path("empty")).unwrap();
    assert_eq!(
        files.message(&Table::read_labelled(&empty, &Columns::default()).unwrap_err()),
        "empty: holds no .txt file; a folder of labels holds one file a label, LABEL.txt, with an \
         example a line"
    );

    let table = files.put("d.csv", "text,label\na,b\n");
    assert_eq!(Table::read_labelled(&table, &Columns::default()).unwrap().rows.len(), 1);
}

#[test]
fn built_in_text_is_no_table() {
    let text = recurrent::data::source::open("builtin:text").unwrap();
    let error = Table::read(&text, &WANTED, &Columns::default()).unwrap_err();
    assert_eq!(error.to_string(), "builtin:text: is not a table");
}

/// Text dense in what the format looks at.
fn tricky() -> impl Strategy<Value = String> {
    "[ab\", \t\n;\u{FEFF}é]{0,40}"
}

proptest! {
    #[test]
    fn written_by_csv_it_is_read_back(
        rows in prop::collection::vec(prop::collection::vec("[a\",\n é\t]{0,6}", 3), 1..6),
    ) {
        let cell = |cell: &String| format!("x{}", cell.trim());
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let wanted = ["a", "b", "c"];
        let table = Table::parse("d", &text, Format::Commas, &wanted, &no_header()).unwrap();
        let read: Vec<Vec<String>> = table.rows.iter().map(|row| row.cells.clone()).collect();
        prop_assert_eq!(read, rows);
        for row in &table.rows {
            let line = text.lines().nth(row.line - 1).unwrap();
            let begins = row.cells[0].lines().next().unwrap().replace('"', "\"\"");
            prop_assert!(line.trim_start_matches('"').starts_with(&begins), "{:?}", line);
        }
    }

    #[test]
    fn tabs_and_line_ends_alone_divide_a_tsv(
        rows in prop::collection::vec(prop::collection::vec("[a\",;é#]{1,6}", 2), 1..6),
    ) {
        let lines: Vec<String> = rows.iter().map(|row| row.join("\t")).collect();
        let text = lines.join("\n");
        let table = Table::parse("d", &text, Format::Tabs, &WANTED, &no_header()).unwrap();
        let read: Vec<Vec<String>> = table.rows.into_iter().map(|row| row.cells).collect();
        prop_assert_eq!(read, rows);
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            tricky().prop_map(String::into_bytes),
            tricky().prop_map(|text| format!("text,label\n{text}").into_bytes()),
        ],
        column in "[0-9a-z]{0,2}",
    ) {
        let files = Files::new();
        for name in ["d.tsv", "d.csv"] {
            let source = files.put(name, &bytes);
            let by_name = picked(&[&column, "1"], true);
            let by_number = picked(&["", &column], false);
            for columns in [Columns::default(), no_header(), by_name, by_number] {
                if let Ok(table) = Table::read(&source, &WANTED, &columns) {
                    prop_assert!(!table.rows.is_empty());
                    for row in &table.rows {
                        prop_assert!(row.cells.len() == 2 && !row.cells.contains(&String::new()));
                    }
                }
            }
        }
    }
}
