// The example programs' command lines: an option is refused, or its value is in its range.
#include <cmath>
#include <string>
#include <vector>

#include "../examples/autoencoder.hpp"
#include "../examples/machine.hpp"
#include "../examples/page.hpp"
#include "targets.hpp"

namespace xtape::fuzz {
namespace {

bool between(double x, double low, double high) { return x >= low && x <= high; }

void check(const examples::Training& t, const examples::ResumeOptions& resume, const examples::PageOptions& page) {
  if (t.hidden < 1 || t.hidden > 100000 || t.epochs < 1 || t.epochs > 100000 || t.batch < 1 || t.batch > 1000000)
    wrong("options: a number of something");
  if (!(t.learning_rate > 0) || !std::isfinite(t.learning_rate) || !std::isfinite(t.final_learning_rate) ||
      !between(t.momentum, 0, 0.999))
    wrong("options: a rate");
  if (!between(resume.every, 0, 1e9) || page.port < -1 || page.port > 65535) wrong("options: seconds, or a port");
}

}  // namespace

void options(Bytes bytes, const std::string&) {
  // A word a line, after the program's name; the first byte chooses the program.
  const bool machine = !bytes.empty() && bytes[0] % 2 == 0;
  std::vector<std::string> words{""};
  for (const std::uint8_t byte : bytes.subspan(bytes.empty() ? 0 : 1))
    if (byte == '\n')
      words.emplace_back();
    else if (byte != 0)  // no argument of a program holds one
      words.back() += static_cast<char>(byte);
  std::vector<const char*> argv{"program"};
  for (const auto& word : words) argv.push_back(word.c_str());

  CLI::App app{"A program.", "program"};
  examples::CommonOptions common;
  examples::MachineTraining rbm;
  examples::AutoencoderTraining autoencoder;
  examples::ResumeOptions resume;
  examples::PageOptions page;
  std::string how = "none";
  common.add_to(app, "out", {});
  if (machine)
    rbm.add_to(app);
  else
    autoencoder.add_to(app);
  resume.add_to(app);
  page.add_to(app);
  examples::add_binarise_option(app, how);
  try {
    app.parse(static_cast<int>(argv.size()), argv.data());
  } catch (const CLI::ParseError& error) {
    if (std::string(error.what()).empty()) wrong("options: refused without a word");
    return;
  }
  check(machine ? static_cast<const examples::Training&>(rbm) : autoencoder, resume, page);
  if (how != "none" && how != "threshold" && how != "sample") wrong("options: --binarise");
  if (machine &&
      (rbm.k < 1 || rbm.k > 10000 || !between(rbm.weight_decay, 0, 1) || !between(rbm.sparsity_target, 0, 1) ||
       !between(rbm.sparsity_cost, 0, 1000) || !between(rbm.deviation, 0, 10)))
    wrong("options: of a machine");
  if (!machine &&
      (!between(autoencoder.drop, 0, 1) || (autoencoder.loss != "cross-entropy" && autoencoder.loss != "squared")))
    wrong("options: of an autoencoder");
  for (const CLI::Option* option : app.get_options())
    if (!option->get_name().empty()) examples::option_value(*option);
}

}  // namespace xtape::fuzz
