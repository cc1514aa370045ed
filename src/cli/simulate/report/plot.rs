//! Plots as SVG: points over the time of the run, on a logarithmic scale of milliseconds.

use std::fmt::Write;

use super::super::figures::milliseconds;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 30.0;
const TOP: f64 = 10.0;

/// The lowest value shown, in milliseconds; lower ones are drawn there.
const LOWEST_MS: f64 = 0.1;

/// Points over time: seconds since the start, and milliseconds.
pub struct Series<'a> {
    pub name: &'a str,
    /// Of the style sheet.
    pub class: &'a str,
    pub points: Vec<(f64, f64)>,
    pub has_line: bool,
}

pub struct Plot<'a> {
    pub title: &'a str,
    pub seconds: f64,
    pub series: Vec<Series<'a>>,
    /// Moments that are marked with a vertical line.
    pub marks: Vec<f64>,
}

impl Plot<'_> {
    pub fn svg(&self) -> String {
        let mut svg = format!(
            "<figure><figcaption>{}{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n",
            self.title,
            self.legend()
        );
        self.axes(&mut svg);
        for mark in &self.marks {
            let x = self.x(*mark);
            let bottom = HEIGHT - BOTTOM;
            push(
                &mut svg,
                format_args!(
                    "<line class=\"kill\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>"
                ),
            );
        }
        for series in &self.series {
            self.draw(&mut svg, series);
        }
        svg.push_str("</svg></figure>\n");
        svg
    }

    fn legend(&self) -> String {
        let entries = self.series.iter().map(|series| {
            let (class, name) = (series.class, series.name);
            format!(" <span class=\"{class}\">{name}</span>")
        });
        let kill = match self.marks.is_empty() {
            true => "",
            false => " <span class=\"kill\">--kill</span>",
        };
        entries.collect::<String>() + kill
    }

    fn axes(&self, svg: &mut String) {
        let mut value = LOWEST_MS;
        while value <= self.highest() * 1.001 {
            let y = self.y(value);
            let (right, text_y) = (WIDTH, y + 4.0);
            push(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>\
                     <text x=\"{:.1}\" y=\"{text_y:.1}\" text-anchor=\"end\">{}</text>",
                    LEFT - 6.0,
                    milliseconds(value)
                ),
            );
            value *= 10.0;
        }
        for step in 0..=6 {
            let at = self.seconds * f64::from(step) / 6.0;
            let (x, y) = (self.x(at), HEIGHT - BOTTOM + 18.0);
            push(
                svg,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{at:.0} s</text>"
                ),
            );
        }
    }

    fn draw(&self, svg: &mut String, series: &Series) {
        let class = series.class;
        let at = |(seconds, ms): &(f64, f64)| (self.x(*seconds), self.y(*ms));
        if series.has_line {
            let points = series.points.iter().map(at);
            let points: Vec<_> = points.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let points = points.join(" ");
            push(
                svg,
                format_args!("<polyline class=\"{class}\" points=\"{points}\"/>"),
            );
            return;
        }
        for (x, y) in series.points.iter().map(at) {
            push(
                svg,
                format_args!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>"),
            );
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        let share = (seconds / self.seconds.max(0.001)).clamp(0.0, 1.0);
        LEFT + share * (WIDTH - LEFT - 20.0)
    }

    fn y(&self, ms: f64) -> f64 {
        let decades = (self.highest() / LOWEST_MS).log10();
        let share = (ms.max(LOWEST_MS) / LOWEST_MS).log10() / decades;
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    }

    /// The end of the scale: the power of ten above all values.
    fn highest(&self) -> f64 {
        let values = self
            .series
            .iter()
            .flat_map(|s| s.points.iter().map(|(_, ms)| *ms));
        10.0_f64.powf(values.fold(10.0, f64::max).log10().ceil())
    }
}

fn push(svg: &mut String, element: std::fmt::Arguments) {
    writeln!(svg, "{element}").expect("a String takes all");
}
