//! A figure as SVG. The colours in it are those of a light page; [`dark_rules`] exchanges them in a
//! dark one, as the drawing library writes colours only as they are.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::escape::escape;
use super::figure::{Axis, Figure, Ink, Line, Range};
use crate::error::CliError;
use crate::table::count;

/// Pixels of the drawing.
const SIZE: (u32, u32) = (440, 260);
/// The library rounds to whole pixels, so the drawing is made larger and shown smaller.
const SCALE: u32 = 4;
/// Curves of at most so many points show them.
const MARKED: usize = 40;
/// Between curves that share their places and have bars, in places.
const APART: f64 = 0.06;
/// Curves of at most so many points tell a point's numbers to the mouse.
const TOLD: usize = 260;

/// Colours in a light and in a dark page, each with a contrast of at least 3:1 to the page, letters
/// with 7:1.
const TEXT: (u32, u32) = (0x33_3D_47, 0xC9_D1_D9);
const FRAME: (u32, u32) = (0x6B_75_80, 0x8B_94_9E);
const GRID: (u32, u32) = (0xE1_E5_E9, 0x30_36_3D);
const SERIES: [(u32, u32); 8] = [
    (0x1F_6F_B4, 0x6C_B2_F0),
    (0xC2_56_0C, 0xF2_A1_54),
    (0x1A_7F_4B, 0x5F_CE_95),
    (0x7B_4A_B8, 0xB7_94_F0),
    (0xC0_31_5C, 0xF2_7D_94),
    (0x0F_7C_8A, 0x4F_C9_D8),
    (0x8A_5A_1C, 0xD1_A6_6A),
    (0x5A_64_D8, 0x97_A3_FF),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

impl Ink {
    fn pair(self) -> (u32, u32) {
        match self {
            Ink::Text => TEXT,
            Ink::Frame => FRAME,
            Ink::Grid => GRID,
            Ink::Series(index) => SERIES[index % SERIES.len()],
        }
    }

    fn colour(self) -> RGBColor {
        let [_, red, green, blue] = self.pair().0.to_be_bytes();
        RGBColor(red, green, blue)
    }

    /// As HTML writes it.
    pub fn hex(self) -> String {
        format!("#{:06X}", self.pair().0)
    }
}

/// Style rules that give every colour of a drawing its counterpart for a dark page.
pub fn dark_rules() -> String {
    [TEXT, FRAME, GRID]
        .iter()
        .chain(&SERIES)
        .flat_map(|(light, dark)| {
            ["stroke", "fill"].map(|part| format!("[{part}=\"#{light:06X}\"]{{{part}:#{dark:06X}}}"))
        })
        .collect()
}

/// Draws a figure.
///
/// # Errors
/// What the drawing library refuses.
pub fn svg(figure: &Figure) -> Result<String, CliError> {
    let refuse = |reason: DrawingAreaErrorKind<std::io::Error>| CliError::Drawing {
        title: figure.title.clone(),
        reason: reason.to_string(),
    };
    let mut text = String::new();
    let mut points = Vec::new();
    {
        let size = (SIZE.0 * SCALE, SIZE.1 * SCALE);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        draw(figure, &area, &mut points).map_err(refuse)?;
        area.present().map_err(refuse)?;
    }
    let start = format!("<svg role=\"img\" aria-label=\"{}\" ", escape(&figure.title));
    let mut text = text.replacen("<svg ", &start, 1);
    if let Some(end) = text.rfind("</svg>") {
        text.insert_str(end, &points.concat());
    }
    Ok(text)
}

/// A line of the legend.
pub fn legend(line: &Line) -> String {
    let dashes = if line.dashed {
        " stroke-dasharray=\"5 3\""
    } else {
        ""
    };
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 22 8\" aria-hidden=\"true\"><line x1=\"1\" y1=\"4\" x2=\"21\" y2=\"4\" \
         stroke=\"{}\" stroke-width=\"2.5\"{dashes}/></svg>{}",
        line.ink.hex(),
        escape(&line.name)
    )
}

fn px(pixels: u32) -> u32 {
    pixels * SCALE
}

fn letters(size: u32, ink: &RGBColor) -> TextStyle<'_> {
    TextStyle::from(("sans-serif", f64::from(px(size)) * 1.24)).color(ink)
}

fn draw(figure: &Figure, area: &Area<'_>, tips: &mut Vec<String>) -> Drawn {
    let lines = prepared(figure);
    let (left, right) = horizontal(figure, &lines);
    let (low, high) = vertical(figure, &lines);
    let mut chart = ChartBuilder::on(area)
        .margin_top(px(if figure.rules.is_empty() { 8 } else { 22 }))
        .margin_right(px(14))
        .x_label_area_size(px(36))
        .y_label_area_size(px(46))
        .build_cartesian_2d(left..right, low..high)?;
    draw_axes(figure, (right - left) as usize + 1, &mut chart)?;
    for (x, name) in figure.rules.iter().filter(|(x, _)| (left..=right).contains(x)) {
        let style = Ink::Frame.colour().stroke_width(px(1));
        chart.draw_series([PathElement::new(vec![(*x, low), (*x, high)], style)])?;
        let (at, _) = chart.backend_coord(&(*x, high));
        // Near the right edge there is room on the left only.
        let (side, gap) = if at > (px(SIZE.0) * 3 / 4) as i32 {
            (HPos::Right, -(px(3) as i32))
        } else {
            (HPos::Left, px(3) as i32)
        };
        let ink = Ink::Text.colour();
        let style = letters(11, &ink).pos(Pos::new(side, VPos::Top));
        area.draw(&Text::new(name.clone(), (at + gap, px(5) as i32), style))?;
    }
    for line in &lines {
        draw_line(figure, line, &mut chart)?;
        if line.points.len() <= TOLD {
            tips.extend(line.points.iter().map(|point| {
                let (x, y) = chart.backend_coord(point);
                tip(figure, line, *point, (x, y))
            }));
        }
    }
    Ok(())
}

/// Draws the axes with their labels, where the lower one spans so many whole numbers.
fn draw_axes(figure: &Figure, span: usize, chart: &mut Chart<'_, '_>) -> Drawn {
    let ink = Ink::Text.colour();
    // No more places on the axis than whole numbers: only these are labelled.
    let most = match &figure.x {
        Axis::Epoch => 10,
        Axis::Step => 6,
        Axis::Values { values, .. } => values.len() + 1,
    };
    let side_text = |y: &f64| match figure.y {
        // The axis divides the exponents evenly, so that its numbers are seldom short.
        Range::Logarithmic => format!("{:.1e}", 10_f64.powf(*y))
            .parse()
            .map_or_else(|_| String::new(), number),
        _ => number(*y),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(Ink::Grid.colour().stroke_width(px(1)))
        .axis_style(Ink::Frame.colour().stroke_width(px(1)))
        .set_all_tick_mark_size(px(4))
        .label_style(letters(11, &ink))
        .axis_desc_style(letters(11, &ink))
        .x_labels(most.min(span))
        .y_labels(6)
        .x_desc(label(&figure.x))
        .x_label_formatter(&|x: &f64| bottom(&figure.x, *x))
        .y_label_formatter(&side_text)
        .draw()
}

/// Draws a line, the bars around its points, and a mark on each point where there are few.
fn draw_line(figure: &Figure, line: &Line, chart: &mut Chart<'_, '_>) -> Drawn {
    let style = line.ink.colour().stroke_width(px(2));
    if line.dashed {
        let dashes = DashedLineSeries::new(line.points.clone(), px(6), px(4), style);
        chart.draw_series(dashes)?;
    } else {
        chart.draw_series(LineSeries::new(line.points.clone(), style))?;
    }
    let bar = |(x, from, to): &(f64, f64, f64)| PathElement::new(vec![(*x, *from), (*x, *to)], style);
    chart.draw_series(line.bars.iter().map(bar))?;
    if figure.x != Axis::Step && line.points.len() <= MARKED && line.ink != Ink::Frame {
        let mark = |point: &(f64, f64)| Circle::new(*point, px(3), line.ink.colour().filled());
        chart.draw_series(line.points.iter().map(mark))?;
    }
    Ok(())
}

/// What a pointer over a point is told.
fn tip(figure: &Figure, line: &Line, (x, y): (f64, f64), (across, down): (i32, i32)) -> String {
    let height = match figure.y {
        Range::Logarithmic => number(10_f64.powf(y)),
        _ => number(y),
    };
    format!(
        "<circle cx=\"{across}\" cy=\"{down}\" r=\"{}\" fill=\"transparent\"><title>{}, {} {}: {height}</title></circle>\n",
        px(7),
        escape(&line.name),
        label(&figure.x),
        escape(&bottom(&figure.x, x.round())),
    )
}

/// What the lower axis is called.
fn label(axis: &Axis) -> &str {
    match axis {
        Axis::Epoch => "epoch",
        Axis::Step => "step",
        Axis::Values { label, .. } => label,
    }
}

/// The lines as they are drawn: without what is no number, in powers of ten where the axis is
/// logarithmic, side by side where they have bars.
fn prepared(figure: &Figure) -> Vec<Line> {
    let logarithmic = figure.y == Range::Logarithmic;
    let height = |y: f64| if logarithmic { y.log10() } else { y };
    let middle = (figure.lines.len() as f64 - 1.0) / 2.0;
    let barred = figure.lines.iter().any(|line| !line.bars.is_empty());
    let drawn = |(index, line): (usize, &Line)| {
        let aside = if barred {
            (index as f64 - middle) * APART
        } else {
            0.0
        };
        Line {
            points: line
                .points
                .iter()
                .map(|(x, y)| (x + aside, height(*y)))
                .filter(|(x, y)| x.is_finite() && y.is_finite())
                .collect(),
            bars: line
                .bars
                .iter()
                .map(|(x, low, high)| (x + aside, *low, *high))
                .collect(),
            ..line.clone()
        }
    };
    figure.lines.iter().enumerate().map(drawn).collect()
}

fn horizontal(figure: &Figure, lines: &[Line]) -> (f64, f64) {
    if let Axis::Values { values, .. } = &figure.x {
        return (-0.5, values.len() as f64 - 0.5);
    }
    let (low, high) = bounds(lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x));
    if low == high {
        (low - 1.0, high + 1.0)
    } else {
        (low, high)
    }
}

fn vertical(figure: &Figure, lines: &[Line]) -> (f64, f64) {
    if let Range::Fixed(low, high) = figure.y {
        return (low, high);
    }
    let bars = lines.iter().flat_map(|line| &line.bars);
    let ends = bars.flat_map(|(_, from, to)| [*from, *to]);
    let points = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let (mut low, mut high) = bounds(points.chain(ends));
    if figure.y == Range::FromZero {
        low = low.min(0.0);
    }
    // Room above and below, and some height where there is none.
    let room = match (high - low) * 0.06 {
        0.0 => (high.abs() * 0.1).max(0.1),
        room => room,
    };
    if !(figure.y == Range::FromZero && low == 0.0) {
        low -= room;
    }
    high += room;
    match figure.y {
        Range::Percent => (low.max(0.0), high.min(100.0)),
        _ => (low, high),
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low <= high { (low, high) } else { (0.0, 1.0) }
}

/// A place on the bottom axis; nothing between the whole numbers.
fn bottom(axis: &Axis, x: f64) -> String {
    let whole = x.round();
    if (x - whole).abs() > 1e-6 || whole < 0.0 {
        return String::new();
    }
    match axis {
        Axis::Epoch | Axis::Step => count(whole as u64),
        Axis::Values { values, .. } => values.get(whole as usize).cloned().unwrap_or_default(),
    }
}

/// A number with the digits that an axis has room for.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let digits = if size >= 1000.0 {
        0
    } else if size >= 1.0 {
        2
    } else {
        4
    };
    let text = format!("{value:.digits$}");
    if !text.contains('.') {
        return text;
    }
    let short = text.trim_end_matches('0').trim_end_matches('.');
    // Rounded to nothing, a small negative number keeps a sign that means nothing.
    if short == "-0" { "0" } else { short }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(points: Vec<(f64, f64)>, y: Range) -> Figure {
        Figure {
            title: "a < b".to_owned(),
            y,
            lines: vec![Line {
                name: "x & y".to_owned(),
                points,
                ink: Ink::Series(1),
                ..Line::default()
            }],
            rules: vec![(2.0, "hint".to_owned())],
            ..Figure::default()
        }
    }

    #[test]
    fn a_point_is_told_with_its_name_and_numbers() {
        let text = svg(&figure(vec![(1.0, 0.25), (2.0, 0.5)], Range::Fitted)).unwrap();
        assert!(text.contains("<title>x &amp; y, epoch 2: 0.5</title>"), "{text}");
        assert!(text.contains("aria-label=\"a &lt; b\""), "{text}");
        assert!(text.contains("hint"), "{text}");
        assert!(text.trim_end().ends_with("</svg>"), "{text}");
    }

    #[test]
    fn no_number_in_a_drawing_is_none_whatever_is_drawn() {
        for points in [
            vec![],
            vec![(1.0, 3.0)],
            vec![(1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 1.0)],
            vec![(1.0, 0.0), (2.0, -1.0), (3.0, 1e-30)],
        ] {
            for range in [
                Range::Fitted,
                Range::FromZero,
                Range::Percent,
                Range::Logarithmic,
                Range::Fixed(-1.0, 1.0),
            ] {
                let text = svg(&figure(points.clone(), range)).unwrap();
                assert!(!text.contains("NaN") && !text.contains("inf"), "{range:?} {text}");
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_tells_the_numbers_themselves() {
        let text = svg(&figure(vec![(1.0, 0.01), (2.0, 100.0)], Range::Logarithmic)).unwrap();
        assert!(text.contains("epoch 1: 0.01<"), "{text}");
        assert!(text.contains("epoch 2: 100<"), "{text}");
    }

    #[test]
    fn values_side_by_side_are_labelled_as_written() {
        let mut figure = figure(vec![(0.0, 40.0), (1.0, 42.0)], Range::Percent);
        figure.x = Axis::Values {
            label: "kd.temperature".to_owned(),
            values: vec!["1".to_owned(), "10".to_owned()],
        };
        let text = svg(&figure).unwrap();
        assert!(text.contains("kd.temperature 10: 42<"), "{text}");
    }

    #[test]
    fn bars_of_different_curves_stand_side_by_side() {
        let mut figure = figure(vec![(0.0, 40.0)], Range::Percent);
        figure.lines[0].bars = vec![(0.0, 39.0, 41.0)];
        figure.lines.push(figure.lines[0].clone());
        let lines = prepared(&figure);
        assert_eq!(lines[0].points, [(-APART / 2.0, 40.0)]);
        assert_eq!(lines[1].bars, [(APART / 2.0, 39.0, 41.0)]);
    }

    #[test]
    fn a_rule_beyond_the_axis_is_left_out() {
        let text = svg(&figure(vec![(3.0, 0.25), (4.0, 0.5)], Range::Fitted)).unwrap();
        assert!(!text.contains("hint"), "{text}");
    }

    #[test]
    fn numbers_are_written_short() {
        for (value, text) in [
            (0.0, "0"),
            (-0.00001, "-1.0e-5"),
            (0.05, "0.05"),
            (42.125, "42.12"),
            (1200.0, "1200"),
            (2.5e-4, "2.5e-4"),
            (-1.0, "-1"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn every_colour_has_its_counterpart_for_a_dark_page() {
        let rules = dark_rules();
        for ink in [Ink::Text, Ink::Frame, Ink::Grid, Ink::Series(0), Ink::Series(7)] {
            assert!(rules.contains(&format!("[stroke=\"{}\"]", ink.hex())));
            assert!(rules.contains(&format!("[fill=\"{}\"]", ink.hex())));
        }
    }
}
