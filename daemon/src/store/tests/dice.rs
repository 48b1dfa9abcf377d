//! A small generator: the same trials every time.

pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number from 0 to `end - 1`; 0 when there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end.max(1)
    }
}
