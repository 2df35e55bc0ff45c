//! From weights to an index: who is next, or who is drawn.
//!
//! | Type | Used by | Gives |
//! |---|---|---|
//! | [`Order`](order::Order) | round robin, static | a fixed order in proportion to configured weights |
//! | [`Smooth`](smooth::Smooth) | `Order`, when the period is short | nginx's order, exact in every period |
//! | [`Golden`](golden::Golden) | `Order` otherwise; measured policies | even turns; weights may change |
//! | [`Alias`](alias::Alias) | random, power of two choices | independent draws by weight |
//!
//! An order turns a position (a counter the policy bumps) into an index; a draw turns a random number into
//! one. Neither holds a counter or a generator. Weights are 1 to 6,553,500 (65,535, in percent
//! where backends start slowly) and there are at most [`MEMBERS_MAX`] of them; each pick takes constant time and
//! touches one or two cache lines.

pub(crate) mod alias;
pub(crate) mod golden;
pub(crate) mod order;
pub(crate) mod smooth;

/// How many members an order or a draw covers: an index fits 16 bits, which keeps the tables small.
pub(crate) const MEMBERS_MAX: usize = 1 << 16;
