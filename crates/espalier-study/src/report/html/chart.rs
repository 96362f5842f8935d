//! Axes with round ticks, and the frame of a figure.

use std::fmt::Write;

/// A linear map from values to pixels, with round ticks at both ends.
pub struct Axis {
    low: f64,
    step: f64,
    /// Number of steps from the lowest to the highest tick.
    steps: usize,
    /// Pixels of the lowest and of the highest tick.
    pixels: (f64, f64),
}

/// Steps of an axis, about: there are between half and twice as many.
const STEPS: f64 = 5.0;

impl Axis {
    /// An axis that covers these values; `None` if they are too large or none is a finite number.
    pub fn over(values: impl IntoIterator<Item = f64>, pixels: (f64, f64)) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (min, max) = finite
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        if !(min.abs() < 1e12 && max.abs() < 1e12) {
            return None;
        }
        // Equal values get a margin; so do values that differ by less than the digits shown.
        let margin =
            if max - min > 1e-6 * (1.0 + max.abs()) { 0.0 } else { 0.05 * (1.0 + max.abs()) };
        let (min, max) = (min - margin, max + margin);
        let step = round_step((max - min) / STEPS);
        let (first, last) = ((min / step).floor(), (max / step).ceil());
        Some(Self { low: first * step, step, steps: (last - first) as usize, pixels })
    }

    /// The pixel of a value.
    pub fn at(&self, value: f64) -> f64 {
        let (from, to) = self.pixels;
        from + (to - from) * (value - self.low) / (self.step * self.steps as f64)
    }

    /// The pixel of a value, clamped to the axis.
    pub fn within(&self, value: f64) -> f64 {
        let (from, to) = self.pixels;
        self.at(value).clamp(from.min(to), from.max(to))
    }

    /// Pixel and label of each tick.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        let digits = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        (0..=self.steps).map(move |i| {
            let value = self.low + i as f64 * self.step;
            (self.at(value), format!("{value:.digits$}"))
        })
    }
}

/// The least of 1, 2 and 5 times a power of ten that is no less than `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// Moves the heights of labels, sorted, apart by at least `line`: upwards, and downwards where that
/// would be above `top`.
pub fn spread<'a>(heights: impl IntoIterator<Item = &'a mut f64>, line: f64, top: f64) {
    let mut heights: Vec<&mut f64> = heights.into_iter().collect();
    // From below, so that labels are pushed upwards and none onto the axis.
    for i in (1..heights.len()).rev() {
        *heights[i - 1] = heights[i - 1].min(*heights[i] - line);
    }
    let mut least = top;
    for height in heights {
        *height = height.max(least);
        least = *height + line;
    }
}

/// A figure's size and the margins of its plot, pixels.
pub struct Frame {
    /// Width of the figure.
    pub width: f64,
    /// Height of the figure.
    pub height: f64,
    /// Left end of the plot.
    pub left: f64,
    /// Right end of the plot.
    pub right: f64,
    /// Upper end of the plot.
    pub top: f64,
    /// Lower end of the plot.
    pub bottom: f64,
}

impl Frame {
    /// The drawing as an SVG element, with `title` as its description.
    pub fn svg(&self, title: &str, drawing: &str) -> String {
        let (width, height) = (self.width, self.height);
        format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             aria-label=\"{title}\">\n{drawing}</svg>\n"
        )
    }

    /// A horizontal axis below the plot, with grid lines and a title.
    pub fn x_axis(&self, axis: &Axis, title: &str) -> String {
        let Self { left, right, top, bottom, .. } = self;
        let mut out = String::new();
        for (x, label) in axis.ticks() {
            let _ = writeln!(
                out,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/>"#
            );
            let _ = writeln!(
                out,
                r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{label}</text>"#,
                bottom + 16.0
            );
        }
        let _ = writeln!(
            out,
            r#"<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>"#
        );
        let (x, y) = (0.5 * (left + right), bottom + 34.0);
        let _ = writeln!(
            out,
            r#"<text class="title" x="{x:.1}" y="{y:.1}" text-anchor="middle">{title}</text>"#
        );
        out
    }

    /// A vertical axis left of the plot, with grid lines and a title.
    pub fn y_axis(&self, axis: &Axis, title: &str) -> String {
        let Self { left, right, top, bottom, .. } = self;
        let mut out = String::new();
        for (y, label) in axis.ticks() {
            let _ = writeln!(
                out,
                r#"<line class="grid" x1="{left}" x2="{right}" y1="{y:.1}" y2="{y:.1}"/>"#
            );
            let (x, y) = (left - 8.0, y + 4.0);
            let _ = writeln!(
                out,
                r#"<text class="tick" x="{x:.1}" y="{y:.1}" text-anchor="end">{label}</text>"#
            );
        }
        let (x, y) = (left - 46.0, 0.5 * (top + bottom));
        let _ = writeln!(
            out,
            "<text class=\"title\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\" \
             text-anchor=\"middle\">{title}</text>"
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        Axis::over(values.iter().copied(), (0.0, 100.0))
            .unwrap()
            .ticks()
            .map(|(_, label)| label)
            .collect()
    }

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        // (9.1 - 1.2) / 5 = 1.58, so steps of 2 from 0 to 10.
        assert_eq!(labels(&[1.2, 9.1]), ["0", "2", "4", "6", "8", "10"]);
        // (0.31 - 0.12) / 5 = 0.038, so steps of 0.05 from 0.10 to 0.35.
        assert_eq!(
            labels(&[0.12, 0.31, f64::NAN]),
            ["0.10", "0.15", "0.20", "0.25", "0.30", "0.35"]
        );
        assert_eq!(labels(&[-5.0, 5.0]), ["-6", "-4", "-2", "0", "2", "4", "6"]);
    }

    #[test]
    fn equal_values_lie_between_the_ends() {
        for value in [0.0, 0.5, -3.0, 1e9, 1e-300] {
            let axis = Axis::over([value], (0.0, 100.0)).unwrap();
            assert!((5.0..95.0).contains(&axis.at(value)), "{value} at {}", axis.at(value));
            assert!(axis.steps <= 12, "{value}: {} steps", axis.steps);
        }
    }

    #[test]
    fn ends_are_where_they_should_be() {
        // An SVG's y grows downwards.
        let axis = Axis::over([0.0, 10.0], (200.0, 20.0)).unwrap();
        assert_eq!((axis.at(0.0), axis.at(5.0), axis.at(10.0)), (200.0, 110.0, 20.0));
        assert_eq!((axis.within(-1e9), axis.within(1e9)), (200.0, 20.0));
    }

    #[test]
    fn labels_are_moved_apart_and_stay_in_the_figure() {
        let moved = |mut heights: [f64; 3], top| {
            spread(&mut heights, 15.0, top);
            heights
        };
        assert_eq!(moved([50.0, 100.0, 120.0], 10.0), [50.0, 100.0, 120.0]);
        assert_eq!(moved([100.0, 101.0, 102.0], 10.0), [72.0, 87.0, 102.0]);
        assert_eq!(moved([12.0, 13.0, 14.0], 10.0), [10.0, 25.0, 40.0]);
    }

    #[test]
    fn no_axis_without_numbers() {
        for values in [&[][..], &[f64::NAN, f64::INFINITY], &[0.0, f64::MAX], &[f64::MIN, 1.0]] {
            assert!(Axis::over(values.iter().copied(), (0.0, 1.0)).is_none(), "{values:?}");
        }
    }
}
