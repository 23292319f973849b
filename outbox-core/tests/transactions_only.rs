//! Enqueueing outside a transaction does not compile.

#[test]
fn only_transactions_are_accepted() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
