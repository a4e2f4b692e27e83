//! Extents and axes, as every operator reckons with them.

use super::error::OpError;

/// The axis that ONNX's possibly negative `axis` names.
///
/// # Errors
/// [`OpError::Axis`] when `rank` has no such axis.
pub(crate) fn resolve_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let resolved = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(resolved)
        .ok()
        .filter(|axis| *axis < rank)
        .ok_or(OpError::Axis { axis, rank })
}

/// The product of extents as multiply-adds; beyond all numbers, the largest.
pub(crate) fn work(extents: impl IntoIterator<Item = usize>) -> u64 {
    let product = |work: u64, extent: usize| work.saturating_mul(extent as u64);
    extents.into_iter().fold(1, product)
}

/// The shape that two shapes broadcast to (ONNX: aligned at the end, extent 1 stretches).
///
/// # Errors
/// [`OpError::Broadcast`] with both shapes.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, OpError> {
    let rank = a.len().max(b.len());
    let extent = |dims: &[usize], axis: usize| {
        let missing = rank - dims.len();
        if axis < missing { 1 } else { dims[axis - missing] }
    };
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(OpError::Broadcast {
                left: a.to_vec(),
                right: b.to_vec(),
            }),
        })
        .collect()
}

/// A tensor may have this many elements, 8 GiB of floats. A file that states more is wrong, and
/// counts up to here can be multiplied with each other.
pub(crate) const MOST_ELEMENTS: usize = 1 << 31;

/// The number of elements, if a tensor may have so many. An extent of 0 excuses nothing: operators
/// multiply some extents and leave others out.
pub(crate) fn element_count(dims: &[usize]) -> Option<usize> {
    dims.iter()
        .filter(|extent| **extent > 0)
        .try_fold(1usize, |count, extent| count.checked_mul(*extent))
        .filter(|count| *count <= MOST_ELEMENTS)
        .map(|count| if dims.contains(&0) { 0 } else { count })
}
