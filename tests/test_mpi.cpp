// Several processes: what they agree on, each one's part, and the training programs under mpirun.

#include <xtape/data/batches.hpp>
#include <xtape/data/digits.hpp>
#include <xtape/energy/contrastive_divergence.hpp>
#include <xtape/init.hpp>
#include <xtape/mpi/gradient_average.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <vector>

#include "child.hpp"
#include "programs.hpp"
#include "trainings.hpp"

using namespace xtape;

TEST_CASE("shard: the parts follow each other, differ by one row at most, and are all of it") {
  for (std::size_t count = 1; count < 9; ++count)
    for (std::size_t batch = 0; batch < 30; ++batch) {
      std::size_t next = 0;
      double shares = 0;
      for (std::size_t index = 0; index < count; ++index) {
        const Rows rows = Shard{index, count}.rows(batch);
        CHECK(rows.first == next);
        CHECK(rows.of == batch);
        CHECK(rows.size >= batch / count);
        CHECK(rows.size <= batch / count + 1);
        next += rows.size;
        shares += rows.share();
      }
      CHECK(next == batch);
      CHECK(shares == doctest::Approx(batch == 0 ? 0 : 1));
    }
  CHECK(Shard{}.rows(5) == Rows{0, 5, 5});
}

TEST_CASE("batches: the shards' rows are the batch's, in order, and the stream's place does not depend on the shard") {
  const auto set = data::digits(23, 1);
  const std::size_t parts = 3;
  Rng whole_rng(2);
  data::BatchStream whole(set, 10, whole_rng);
  std::vector<Rng> rngs(parts, Rng(2));
  std::vector<data::BatchStream> streams;
  for (std::size_t i = 0; i < parts; ++i) streams.emplace_back(set, 10, rngs[i], Shard{i, parts});
  for (int batch = 0; batch < 7; ++batch) {
    const auto [x, label] = whole.next();
    CHECK(whole.rows() == Rows{0, label.size(), label.size()});
    for (std::size_t i = 0; i < parts; ++i) {
      const auto [own, own_label] = streams[i].next();
      const Rows rows = streams[i].rows();
      REQUIRE(rows == Shard{i, parts}.rows(label.size()));
      REQUIRE(own.shape() == Shape{rows.size, set.features()});
      CHECK(std::equal(own.data(), own.data() + own.size(), x.data() + rows.first * set.features()));
      for (std::size_t r = 0; r < rows.size; ++r) CHECK(own_label[r] == label[rows.first + r]);
      CHECK(streams[i].state() == whole.state());
    }
  }
  // Gone on with as one of another number of shards.
  Rng rng(9);
  data::BatchStream other(set, 10, rng, Shard{1, 2});
  other.set_state(streams[0].state());
  const auto [rest, rest_label] = whole.next();
  const auto half = other.next();
  CHECK(other.rows() == Shard{1, 2}.rows(rest_label.size()));
  CHECK(half.x.data()[400] == rest.data()[other.rows().first * set.features() + 400]);
  std::size_t seen = 0;
  for (const auto& [x, label] : data::batches(set, 2, Shard{2, 3})) seen += label.size();  // never a third of two
  CHECK(seen == 0);
  check_bad<ValueError>([&] { data::batches(set, 2, Shard{3, 3}); }, {"batches: shard 3 of 3"});
}

TEST_CASE("contrastive_divergence: parts of a batch add up to it, and leave the generator where it would") {
  Rng start(3);
  const Tensor<float> v = init::uniform<float>({11, 70}, 0, 1, start);
  Rbm<float> whole(70, 90, start), parts(whole.W.detach(), whole.b.detach(), whole.a.detach());
  Rng rng(6);
  contrastive_divergence(whole, v, {.k = 3}, rng);
  for (std::size_t i = 0; i < 13; ++i) {  // two of them have nothing
    const Rows rows = Shard{i, 13}.rows(11);
    Rng own(6);
    const auto first = static_cast<std::ptrdiff_t>(rows.first), size = static_cast<std::ptrdiff_t>(rows.size);
    contrastive_divergence(parts, slice(v, {range(first, first + size)}), {.k = 3, .rows = rows}, own);
    CHECK(own.state() == rng.state());
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const Tensor<float> expected = whole.parameters()[i].grad(), got = parts.parameters()[i].grad();
    for (std::size_t j = 0; j < got.size(); ++j) CHECK(std::abs(got.data()[j] - expected.data()[j]) < 1e-6);
  }
}

TEST_CASE("contrastive_divergence: rows that do not fit, and what has no sum over parts, are errors") {
  Rng rng(1);
  Rbm<float> rbm(4, 3, rng);
  const Tensor<float> v = init::uniform<float>({2, 4}, 0, 1, rng);
  for (const Rows& rows : {Rows{0, 1, 2}, Rows{1, 2, 2}, Rows{0, 2, 0}, Rows{static_cast<std::size_t>(-1), 2, 5}})
    check_bad<ValueError>([&] { contrastive_divergence(rbm, v, {.rows = rows}, rng); },
                          {"contrastive_divergence: shape (2, 4) is not the "});
  Tensor<float> particles = v;
  check_bad<ValueError>(
      [&] {
        contrastive_divergence(rbm, v, {.particles = &particles, .particle_rows = {0, 3, 3}}, rng);
      },
      {"contrastive_divergence: particles: shape (2, 4) is not the 3 rows from 0 on of 3"});
  for (const auto& options : {CdOptions<float>{.sparsity_cost = 0.1F, .rows = {0, 2, 4}},
                              CdOptions<float>{.hidden_samples = true, .rows = {0, 2, 4}}})
    check_bad<ValueError>([&] { contrastive_divergence(rbm, v, options, rng); }, {"need all rows of the batch"});
  CHECK(!rbm.W.grad().defined());
  contrastive_divergence(rbm, v, {.sparsity_cost = 0.1F, .rows = {0, 2, 2}}, rng);
  CHECK(rbm.W.grad().defined());
}

TEST_CASE("mpi: one process alone has its own gradient, times its weight, and values as they were") {
  const mpi::World world;
  CHECK(world.size() == 1);
  CHECK(world.first());
  Tensor<double> x = parameter(Tensor<double>({2}, {1, 2})), y = parameter(Tensor<double>(1.0));
  mpi::GradientAverage average(world, std::vector{x, y});
  for (const double weight : {1.0, 0.25}) {
    double figure = 7;
    {
      Tape tape;
      const auto loss = sum(x * x);
      average.start(tape, weight);
      tape.backward(loss);
      average.finish(std::span(&figure, 1));
    }
    CHECK(figure == 7);
    CHECK(x.grad().data()[1] == 4 * weight);
    CHECK(!y.grad().defined());
    x.zero_grad();
  }
  world.broadcast(std::vector{x, y});
  CHECK(x.data()[1] == 2);
  CHECK(world.gather(x).data()[0] == 1);
}

namespace {

// Programs of several processes; empty if there is no mpirun, or MPI cannot be expected to work.
const std::string mpirun = XTAPE_SANITIZED ? "" : XTAPE_MPIRUN;
#define SKIP_WITHOUT_MPIRUN                                                                    \
  if (mpirun.empty()) {                                                                        \
    MESSAGE("skipped: no mpirun, or built without MPI, or under a sanitizer, which it leaks"); \
    return;                                                                                    \
  }

// Is it Open MPI's? That refuses root and more processes than processors unless told; and processes that wait shall let
// others work.
bool open_mpi() {
  static const bool is = [] {
    for (const char* variable : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
                                 "OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"})
      setenv(variable, "1", 0);
    return std::system((mpirun + " --version 2>&1 | grep -q 'Open MPI'").c_str()) == 0;
  }();
  return is;
}

// What mpirun ends it kills after a second, or, to save the tests' time, at once.
enum class Grace { none, second };
std::vector<std::string> on(std::size_t processes, const std::string& program, const std::string& arguments,
                            Grace grace = Grace::none) {
  std::vector<std::string> words{mpirun, "-n", std::to_string(processes)};
  if (open_mpi() && grace == Grace::none) words.insert(words.end(), {"--mca", "odls_base_sigkill_timeout", "0"});
  words.push_back(program);
  std::istringstream text(arguments);
  for (std::string word; text >> word;) words.push_back(word);
  return words;
}
std::string training(const std::string& name) { return std::string(XTAPE_PROGRAMS) + "/" + name; }

Run run_on(std::size_t processes, const std::string& program, const std::string& arguments) {
  const Folder text;
  Child child(on(processes, program, arguments), text / "out", text / "err");
  const bool ended = child.ends_within(60);
  CHECK_MESSAGE(ended, "waits for ever: " << program << " " << arguments);
  if (!ended) child.kill(SIGTERM);  // mpirun ends its processes
  return {child.wait(), content_of(text / "out"), content_of(text / "err")};
}

// A column of metrics.csv.
std::vector<double> column(const std::string& folder, std::size_t number) {
  std::istringstream csv(content_of((std::filesystem::path(folder) / "metrics.csv").string()));
  std::vector<double> result;
  std::string line;
  for (std::getline(csv, line); std::getline(csv, line);) {
    std::istringstream cells(line);
    std::string cell;
    for (std::size_t i = 0; i <= number; ++i) std::getline(cells, cell, ',');
    result.push_back(std::stod(cell));
  }
  return result;
}

void check_close(const std::vector<double>& got, const std::vector<double>& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  REQUIRE(!got.empty());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i]) <= tolerance);
}

// What of stderr is not mpirun's own.
std::size_t lines_of(const std::string& text, const std::string& beginning) {
  std::istringstream lines(text);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) count += line.starts_with(beginning);
  return count;
}

}  // namespace

TEST_CASE("mpi: what several processes do together") {
  SKIP_WITHOUT_MPIRUN
  for (const std::size_t processes : {1U, 2U, 3U, 4U}) {
    CAPTURE(processes);
    const Run checks = run_on(processes, XTAPE_PROCESSES, "--no-colors");
    CHECK_MESSAGE(checks.status == 0, checks.out << checks.err);
    CHECK_MESSAGE(checks.out.find("Status: SUCCESS!") != std::string::npos, checks.out << checks.err);
  }
}

TEST_CASE("mpi: the first process's error and another's end all, with a line and the status") {
  SKIP_WITHOUT_MPIRUN
  for (const std::size_t rank : {0U, 2U}) {
    const Run failed = run_on(3, XTAPE_PROCESSES, fmt::format("--throw {}", rank));
    CHECK(failed.status == 3);
    CHECK_MESSAGE(lines_of(failed.err, rank == 0 ? "planted" : "process 2 of 3: planted") == 1, failed.err);
    const Run left = run_on(3, XTAPE_PROCESSES, fmt::format("--leave {}", rank));
    CHECK(left.status == 1);
    CHECK_MESSAGE(lines_of(left.err, fmt::format("process {} of 3: ended by an exception", rank)) == 1, left.err);
  }
}

TEST_CASE("mpi: what all processes find wrong is said once") {
  SKIP_WITHOUT_MPIRUN
  const Folder folder;
  const std::string out = " --out " + folder.string();
  for (const auto& [program, arguments] : {std::pair("train_rbm", "--epochs 0"),
                                           {"train_classifier", "--data /no/such/folder"},
                                           {"train_rbm", "--sparsity-cost 0.1"},
                                           {"train_autoencoder", "--epochs 1"}}) {
    const Run failed = run_on(3, training(program), arguments + out);
    CHECK(failed.status == 2);
    CHECK_MESSAGE(lines_of(failed.err, program + std::string(": ")) == 1, failed.err);
    CHECK_MESSAGE(lines_of(failed.err, "process") == 0, failed.err);
  }
  const Run help = run_on(3, training("train_rbm"), "--help");
  CHECK(help.status == 0);
  CHECK_MESSAGE(lines_of(help.out, "Usage") == 1, help.out);
}

TEST_CASE("mpi: processes that were started with other options, data or checkpoints say so and end") {
  SKIP_WITHOUT_MPIRUN
  const Folder data, other_data, out;
  write_digits(data.string(), 1, 60, 10);
  write_digits(other_data.string(), 2, 60, 10);
  // The first process's arguments, and the second one's.
  const auto refusal = [&](const std::string& first, const std::string& second) {
    const Folder text;
    const std::string program = training("train_rbm"), more = " --epochs 1 --sample-steps 0 --out " + out.string();
    auto words = on(1, program, first + more);
    const auto others = on(1, program, second + more);
    words.push_back(":");
    // The options of mpirun's own stand once.
    const auto from = std::ranges::find(others, program);
    words.insert(words.end(), {"-n", "1"});
    words.insert(words.end(), from, others.end());
    Child child(words, text / "out", text / "err");
    CHECK(child.ends_within(60));
    CHECK(child.wait() == 2);
    const std::string error = content_of(text / "err");
    CHECK_MESSAGE(lines_of(error, "train_rbm: ") == 1, error);
    CHECK_MESSAGE(lines_of(error, "process") == 0, error);
    return error;
  };
  const auto says = [](const std::string& error, const std::string& part) {
    CHECK_MESSAGE(error.find("train_rbm: mpi: " + part) != std::string::npos, error);
  };
  const std::string same = "--data " + data.string() + " --hidden 10";
  says(refusal(same, "--data " + data.string() + " --hidden 20"), "--hidden differs: 10 on process 0, 20 on process 1");
  says(refusal(same, same + " --resume"), "--resume differs: ");
  says(refusal(same, "--data " + other_data.string() + " --hidden 10"), "the data differs: 60 images of 28 x 28, CRC ");
  const Folder elsewhere;
  REQUIRE(run("train_rbm", same + " --epochs 1 --sample-steps 0 --out " + elsewhere.string()).status == 0);
  says(refusal(same + " --resume", same + " --resume --checkpoint " + (elsewhere / "checkpoint.safetensors")),
       "the checkpoint differs: no file on process 0, CRC ");
}

TEST_CASE("mpi: train_classifier has the loss curve of one process, and one set of files") {
  SKIP_WITHOUT_MPIRUN
  const std::string arguments = "--model mlp --epochs 2 --batch 61 --out ";  // the last batch has 22 images
  const Folder alone;
  const Run one = run("train_classifier", arguments + alone.string());
  REQUIRE_MESSAGE(one.status == 0, one.err);
  for (const std::size_t processes : {1U, 2U, 4U}) {
    CAPTURE(processes);
    const Folder folder;
    const Run several = run_on(processes, training("train_classifier"), arguments + folder.string());
    REQUIRE_MESSAGE(several.status == 0, several.err);
    CHECK(lines(several.out) == lines(one.out));
    CHECK(folder.files() == alone.files());
    CHECK(several.err == "");
    for (const std::size_t loss : {2U, 4U})
      check_close(column(folder.string(), loss), column(alone.string(), loss), 1e-6);
    for (const std::size_t accuracy : {3U, 5U})  // an image or two may stand on the edge
      check_close(column(folder.string(), accuracy), column(alone.string(), accuracy), 0.001);
    if (processes == 1)
      CHECK(content_of(folder / "classifier.safetensors") == content_of(alone / "classifier.safetensors"));
  }
}

// A draw that falls between two roundings of a probability makes a sample another one, now and then: from there on the
// curves are apart by far less than other seeds' are.
TEST_CASE("mpi: train_rbm has the loss curve of one process, persistent or not") {
  SKIP_WITHOUT_MPIRUN
  for (const unsigned processes : {2U, 4U}) {
    const std::string kind = processes == 2 ? "" : " --persistent --k 2";
    CAPTURE(kind);
    const std::string arguments = std::string("--epochs 2 --batch 501 --hidden 50 --sample-steps 0") + kind + " --out ";
    const Folder alone, folder;
    const Run one = run("train_rbm", arguments + alone.string());
    REQUIRE_MESSAGE(one.status == 0, one.err);
    const Run several = run_on(processes, training("train_rbm"), arguments + folder.string());
    REQUIRE_MESSAGE(several.status == 0, several.err);
    CHECK(lines(several.out) == lines(one.out));
    for (const std::size_t error : {2U, 3U, 4U})
      check_close(column(folder.string(), error), column(alone.string(), error), 0.02);  // another seed: some nats
  }
}

namespace {

// Runs until a checkpoint has been written, then sends a signal to the mpirun or, with a rank, to that process alone.
Run interrupted(const std::vector<std::string>& command, const std::string& checkpoint, int number, bool all) {
  const Folder text;
  struct stat before {
  }, now{};
  stat(checkpoint.c_str(), &before);
  Child child(command, text / "out", text / "err");
  while ((stat(checkpoint.c_str(), &now) != 0 || now.st_ino == before.st_ino) && !child.ends_within(0.001)) {
  }
  if (all) {
    child.kill(number);
  } else {
    // The processes are mpirun's children: the last of them.
    std::istringstream children(content_of(fmt::format("/proc/{0}/task/{0}/children", child.id())));
    int last = 0;
    for (int id = 0; children >> id;) last = id;
    REQUIRE(last > 0);
    REQUIRE(::kill(last, number) == 0);
  }
  CHECK(child.ends_within(60));
  return {child.wait(), content_of(text / "out"), content_of(text / "err")};
}

}  // namespace

TEST_CASE("mpi: a process that is killed ends the run with an error, which goes on to the bits of one that was not") {
  SKIP_WITHOUT_MPIRUN
  const std::pair<const char*, const char*> cases[] = {
      {"train_classifier", "--model mlp --epochs 20 --batch 50"},
      {"train_rbm", "--persistent --hidden 30 --epochs 20 --batch 41 --sample-steps 0"}};
  for (const auto& each : cases) {
    const char* const program = each.first;
    CAPTURE(program);
    const std::string more = each.second + std::string(" --checkpoint-every 0.05 --out ");
    const char* const model = program == cases[0].first ? "classifier.safetensors" : "rbm.safetensors";
    const Folder whole, folder;
    REQUIRE(run_on(2, training(program), more + whole.string()).status == 0);
    const Run killed = interrupted(on(2, training(program), more + folder.string()), folder / "checkpoint.safetensors",
                                   SIGKILL, false);
    CHECK(killed.status > 0);
    REQUIRE(!std::filesystem::exists(folder / model));
    REQUIRE(run_on(2, training(program), more + folder.string() + " --resume").status == 0);
    CHECK(content_of(folder / model) == content_of(whole / model));
  }
}

TEST_CASE("mpi: a signal ends all after the same step, with the command to go on; on other numbers of processes, too") {
  SKIP_WITHOUT_MPIRUN
  const Folder whole, folder;
  const std::string arguments = "--model mlp --epochs 25 --batch 50 --checkpoint-every 0.05 --out ";
  const std::string program = training("train_classifier"), checkpoint = folder / "checkpoint.safetensors";
  REQUIRE(run("train_classifier", arguments + whole.string()).status == 0);
  std::string more = arguments + folder.string();
  for (const bool all : {false, true}) {
    const Run stopped = interrupted(on(2, program, more, Grace::second), checkpoint, SIGTERM, all);
    CHECK(stopped.status != 0);
    CHECK_MESSAGE(
        lines_of(stopped.err, "train_classifier: interrupted by SIGTERM; to go on: mpirun -n 2 " + program) == 1,
        stopped.err);
    if (!all) more += " --resume";
  }
  REQUIRE(!std::filesystem::exists(folder / "classifier.safetensors"));
  const Run rest = run_on(3, program, more);
  REQUIRE_MESSAGE(rest.status == 0, rest.err);
  check_close(column(folder.string(), 2), column(whole.string(), 2), 1e-4);
}
