// Runs the tests; the last line printed is `N passed, N failed`, counted in test cases.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

namespace {

// Counts test cases and hands the figures to main().
struct Counts : doctest::IReporter {
  inline static int passed = 0, failed = 0;

  explicit Counts(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats& stats) override {
    failed = static_cast<int>(stats.numTestCasesFailed);
    passed = static_cast<int>(stats.numTestCasesPassingFilters) - failed;
  }
  void test_case_start(const doctest::TestCaseData&) override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

}  // namespace

DOCTEST_REGISTER_LISTENER("counts", 1, Counts);

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  const int status = context.run();
  if (context.shouldExit()) return status;
  std::printf("%d passed, %d failed\n", Counts::passed, Counts::failed);
  // No test executed is a failure: a filter that matches nothing must not look like success.
  return Counts::passed + Counts::failed == 0 ? 1 : status;
}
