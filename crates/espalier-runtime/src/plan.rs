//! Which rows go through which layers.
//!
//! Below the first adapted layer of an adapter, its hidden states are those of the backbone alone.
//! So every text has one plain row for all adapters that begin higher up. An adapter's own row is
//! a copy of the plain one, made at its first layer.

use std::ops::Range;

/// Consecutive layers that the same rows go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The layers.
    pub layers: Range<usize>,
    /// The rows of a text: those of adapters, by index, then the plain one, `None`, if it is still
    /// needed. Adapters that are in the segment below come first, in the same order.
    pub rows: Vec<Option<usize>>,
}

/// The cheapest plan for `layers` layers and adapters whose first layers are `first`. One with
/// `layers` or more has no updates: its row is the plain one.
pub(crate) fn plan(first: &[usize], layers: usize) -> Vec<Segment> {
    let mut order: Vec<usize> =
        (0..first.len()).filter(|&adapter| first[adapter] < layers).collect();
    order.sort_by_key(|&adapter| first[adapter]);
    let mut starts: Vec<usize> = order.iter().map(|&adapter| first[adapter]).collect();
    starts.insert(0, 0);
    starts.dedup();
    let ends = starts.iter().skip(1).chain([&layers]);
    let segment = |(&start, &end): (&usize, &usize)| {
        let begun = order.iter().take_while(|&&adapter| first[adapter] <= start);
        let mut rows: Vec<Option<usize>> = begun.map(|&adapter| Some(adapter)).collect();
        if rows.len() < first.len() {
            rows.push(None);
        }
        Segment { layers: start..end, rows }
    };
    starts.iter().zip(ends).map(segment).collect()
}

impl Segment {
    /// The index of an adapter's row.
    pub fn row_of(&self, adapter: usize) -> usize {
        self.rows
            .iter()
            .position(|&row| row == Some(adapter))
            .unwrap_or(self.rows.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cost of a plan in layers times rows.
    fn cost(plan: &[Segment]) -> usize {
        plan.iter().map(|segment| segment.layers.len() * segment.rows.len()).sum()
    }

    #[test]
    fn ten_adapters_share_the_trunk() {
        let plan = plan(&[4; 10], 6);
        assert_eq!(cost(&plan), 4 + 10 * 2); // one by one it is 60
        assert_eq!(
            plan.iter().map(|segment| segment.layers.clone()).collect::<Vec<_>>(),
            [0..4, 4..6]
        );
    }

    #[test]
    fn adapters_fork_each_at_its_own_layer() {
        let segment = |layers, rows: &[Option<usize>]| Segment { layers, rows: rows.to_vec() };
        let expected = [
            segment(0..2, &[None]),
            segment(2..5, &[Some(1), None]),
            segment(5..6, &[Some(1), Some(0), Some(2)]),
        ];
        assert_eq!(plan(&[5, 2, 5], 6), expected);
        // The plain row goes through all layers for an adapter without updates.
        let expected = [segment(0..3, &[Some(1), None]), segment(3..6, &[Some(1), Some(0), None])];
        assert_eq!(plan(&[3, 0, 6], 6), expected);
    }

    #[test]
    fn plans_have_no_row_too_many() {
        let costs: [(&[usize], usize); 6] =
            [(&[], 0), (&[6], 6), (&[6, 6], 6), (&[0], 6), (&[0, 0], 12), (&[0, 6, 3], 6 + 6 + 3)];
        for (first, expected) in costs {
            assert_eq!(cost(&plan(first, 6)), expected, "{first:?}");
        }
    }

    #[test]
    fn every_adapter_has_its_row_at_the_top() {
        let plan = plan(&[5, 2, 6, 5], 6);
        let top = plan.last().unwrap();
        assert_eq!([0, 1, 2, 3].map(|adapter| top.row_of(adapter)), [1, 0, 3, 2]);
    }
}
