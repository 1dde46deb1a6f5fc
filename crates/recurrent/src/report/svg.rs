//! The charts of a page as files of their own, for a paper, a talk or another page.

/// What a file begins with, so that one is known as such before it is replaced.
pub const BEGINNING: &str = "<!-- recurrent chart -->\n";

/// How a chart is named that a page holds, and the file: for a screen as wide as the page's, light or
/// dark as whoever looks at it wants.
pub fn charts(page: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = vec![];
    for section in page.split("<section id=\"").skip(1) {
        let (id, content) = section.split_once('"').unwrap_or_default();
        let charts = content.split("<div class=\"chart wide\"><svg ").skip(1);
        for (number, chart) in (1..).zip(charts) {
            let chart = chart.split("</svg>").next().unwrap_or_default();
            let (attributes, drawn) = chart.split_once('>').unwrap_or_default();
            let style = style();
            files.push((
                format!("{id}-{number}.svg"),
                format!(
                    "{BEGINNING}<svg xmlns=\"http://www.w3.org/2000/svg\" {attributes}>\n\
                     <style>{style}</style>{drawn}</svg>\n"
                ),
            ));
        }
    }
    files
}

/// What of the page's style is of charts. Programs that know no variables of styles are given the
/// light colours: a browser takes the second of two values, they the first.
fn style() -> String {
    let all = include_str!("style.css");
    let colours = all.split("* { box-sizing").next().unwrap_or_default();
    let light = colours.split('}').next().unwrap_or_default();
    let classes = all.lines().filter(|line| {
        [".s-", ".dash", "svg polyline"].iter().any(|class| line.starts_with(class))
    });
    let mut classes = classes.collect::<Vec<&str>>().join("\n");
    for entry in light.split(['{', ';']) {
        let Some((name, value)) = entry.trim().split_once(": ") else { continue };
        for what in ["stroke", "fill"] {
            let variable = format!("{{ {what}: var({name});");
            let both = format!("{{ {what}: {value}; {what}: var({name});");
            classes = classes.replace(&variable, &both);
        }
    }
    format!(
        "\n{colours}{classes}\nsvg {{ background: var(--paper); }}\ntext {{ font-family: system-ui, \
         \"Liberation Sans\", sans-serif; }}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wide_chart_is_a_file_with_its_colours() {
        let page = "<section id=\"loss\"><div class=\"chart wide\"><svg role=\"img\" viewBox=\"0 0 9 \
                    9\"><g/></svg></div><div class=\"chart narrow\"><svg viewBox=\"0 0 2 2\"></svg></div>\
                    </section><section id=\"steps\"><svg class=\"cells\"></svg></section>";
        let [(name, file)] = &charts(page)[..] else { panic!("{:?}", charts(page)) };
        assert_eq!(name, "loss-1.svg");
        assert!(file.starts_with(BEGINNING) && file.ends_with("<g/></svg>\n"), "{file}");
        assert!(
            file.contains("xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 9 9\"")
        );
        for needed in [
            "--blue: #0a64ad",
            "prefers-color-scheme: dark",
            ".s-blue { stroke: #0a64ad; stroke: var(--blue); } .f-blue { fill: #0a64ad; fill: var",
            ".s-grid { stroke: #dde1e6; stroke: var(--rule); }",
            ".dash {",
        ] {
            assert!(file.contains(needed), "{needed}: {file}");
        }
        assert!(charts("").is_empty() && charts("<section id=\"").is_empty());
    }
}
