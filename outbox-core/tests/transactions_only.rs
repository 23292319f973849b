//! Enqueueing and accepting outside a transaction do not compile.

#[test]
fn only_transactions_are_accepted() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
