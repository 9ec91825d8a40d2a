// From return addresses to a line of source, by the debug information of the running program.
#include "source_line.hpp"

#include <fmt/format.h>

#include <cxxabi.h>
#include <dlfcn.h>
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#endif
#ifdef XTAPE_WITH_LIBDW
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

namespace xtape::detail {
namespace {

struct Free {
  void operator()(void* memory) const noexcept { std::free(memory); }
};

// Functions of namespaces xtape and std and what is local to them, by their mangled names. A user's lambda that the
// library calls is neither.
bool is_library_symbol(std::string_view symbol) {
  if (!symbol.starts_with("_Z")) return false;
  symbol.remove_prefix(2);
  while (symbol.starts_with("Z")) symbol.remove_prefix(1);
  for (const std::string_view start : {"N5xtape", "NK5xtape", "St", "NSt", "NKSt"})
    if (symbol.starts_with(start)) return true;
  return false;
}

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, Free> name(abi::__cxa_demangle(symbol, nullptr, nullptr, &status));
  return name ? name.get() : symbol;
}

// The loaded file that an address lies in, and the symbol if it is exported.
struct Module {
  std::string file;
  const char* symbol = nullptr;
  std::uintptr_t offset = 0;
  const void* base = nullptr;

  explicit Module(std::uintptr_t address) {
    Dl_info info{};
    if (dladdr(reinterpret_cast<void*>(address), &info) == 0) return;
    if (info.dli_fname) file = info.dli_fname;
    symbol = info.dli_sname;
    base = info.dli_fbase;
    offset = address - reinterpret_cast<std::uintptr_t>(base);
  }
  // libxtape and the libraries beside it.
  bool is_library() const { return std::filesystem::path(file).filename().string().starts_with("libxtape"); }
};

#ifdef XTAPE_WITH_LIBDW
struct Place {
  std::string file, function;
  int line = 0;
};

class DebugInformation {
 public:
  DebugInformation() : session_(dwfl_begin(&callbacks())) {
    if (!session_) return;
    dwfl_report_begin(session_.get());
    if (dwfl_linux_proc_report(session_.get(), getpid()) != 0 || dwfl_report_end(session_.get(), nullptr, nullptr) != 0)
      session_.reset();
  }

  // Also of functions that are not exported; null if unknown.
  const char* symbol(std::uintptr_t address) const {
    Dwfl_Module* module = session_ ? dwfl_addrmodule(session_.get(), address) : nullptr;
    return module ? dwfl_module_addrname(module, address) : nullptr;
  }

  // The line at the address and, where functions were inlined around it, the lines that called them, outwards.
  std::vector<Place> places(std::uintptr_t address) const {
    Dwarf_Addr bias = 0;
    Dwarf_Die* unit = unit_of(address, bias);
    Dwarf_Line* line = unit ? dwarf_getsrc_die(unit, address - bias) : nullptr;
    if (!line) return {};
    Dwarf_Attribute attribute;
    const char* folder = dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
    const auto path = [folder](const char* file) {  // an absolute one replaces the folder
      return file ? (std::filesystem::path(folder ? folder : "") / file).lexically_normal().string() : "";
    };
    std::vector<Place> places(1);
    places[0].file = path(dwarf_linesrc(line, nullptr, nullptr));
    dwarf_lineno(line, &places[0].line);

    // The innermost scope, then those that it physically lies in.
    Dwarf_Die* found = nullptr;
    int count = dwarf_getscopes(unit, address - bias, &found);
    std::unique_ptr<Dwarf_Die, Free> scopes(found);
    if (count <= 0) return places;
    Dwarf_Die innermost = scopes.get()[0];
    found = nullptr;
    count = dwarf_getscopes_die(&innermost, &found);
    scopes.reset(found);
    Dwarf_Files* files = nullptr;
    if (count <= 0 || dwarf_getsrcfiles(unit, &files, nullptr) != 0) return places;
    for (int i = 0; i < count; ++i) {
      Dwarf_Die* scope = scopes.get() + i;
      const int tag = dwarf_tag(scope);
      if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram) continue;
      if (const char* name = dwarf_diename(scope)) places.back().function = name;
      if (tag == DW_TAG_subprogram) break;
      Dwarf_Word file = 0, called = 0;
      if (dwarf_formudata(dwarf_attr(scope, DW_AT_call_file, &attribute), &file) != 0 ||
          dwarf_formudata(dwarf_attr(scope, DW_AT_call_line, &attribute), &called) != 0)
        break;
      places.push_back({path(dwarf_filesrc(files, file, nullptr, nullptr)), "", static_cast<int>(called)});
    }
    return places;
  }

 private:
  // The compilation unit of an address; `bias` is what addresses in its debug information lack.
  Dwarf_Die* unit_of(std::uintptr_t address, Dwarf_Addr& bias) const {
    Dwfl_Module* module = session_ ? dwfl_addrmodule(session_.get(), address) : nullptr;
    if (!module) return nullptr;
    if (Dwarf_Die* unit = dwfl_module_addrdie(module, address, &bias)) return unit;
    // Clang writes no table of addresses.
    for (Dwarf_Die* unit = nullptr; (unit = dwfl_module_nextcu(module, unit, &bias));)
      if (dwarf_haspc(unit, address - bias) == 1) return unit;
    return nullptr;
  }

  static const Dwfl_Callbacks& callbacks() {
    // Debug information is looked for in the file itself and on this machine, never on the network.
    static const Dwfl_Callbacks them = [] {
      Dwfl_Callbacks result{};
      result.find_elf = dwfl_linux_proc_find_elf;
      result.find_debuginfo = dwfl_build_id_find_debuginfo;
      return result;
    }();
    return them;
  }
  struct End {
    void operator()(Dwfl* session) const noexcept { dwfl_end(session); }
  };
  std::unique_ptr<Dwfl, End> session_;
};

// The first place that is neither the library's nor the standard library's. `sources`: the folder of the
// library's sources, where it is linked statically and has debug information, or else empty.
std::optional<std::string> users_place(const std::vector<Place>& places, const std::string& sources) {
  for (const auto& [file, function, line] : places) {
    if (file.find("/include/xtape/") != std::string::npos || file.find("/include/c++/") != std::string::npos) continue;
    if (!sources.empty() && file.starts_with(sources)) continue;
    return fmt::format("called at {}:{}{}{}", file, line, function.empty() ? "" : ", in ", function);
  }
  return std::nullopt;
}

std::string own_sources(const DebugInformation& debug) {
  const auto places = debug.places(reinterpret_cast<std::uintptr_t>(&call_stack));
  if (places.empty()) return "";
  return (std::filesystem::path(places.back().file).parent_path() / "").string();
}

constexpr const char* no_line = "compile with -g, and without -flto, to see file and line";
constexpr const char* advice = "compile with -g to see file and line";
#else
constexpr const char* advice = "xtape was built without libdw, which would tell file and line";
#endif

// Within the call that returns there.
std::uintptr_t address_of(void* returns_to) { return reinterpret_cast<std::uintptr_t>(returns_to) - 1; }

// Where the C library lies that started the program and its threads; null if it is part of the program.
const void* c_library() {
  void* const start = dlsym(RTLD_DEFAULT, "__libc_start_main");
  return start ? Module(reinterpret_cast<std::uintptr_t>(start)).base : nullptr;
}

// Without the start code of the program or the thread: the C library's outermost frames and what is around them.
std::span<void* const> without_start(std::span<void* const> stack, const void* c_library) {
  const auto starts = [c_library](void* returns_to) {
    return c_library && Module(address_of(returns_to)).base == c_library;
  };
  std::size_t end = stack.size();
  while (end > 0 && !starts(stack[end - 1])) --end;
  if (end == 0) return stack;
  while (end > 0 && starts(stack[end - 1])) --end;
  return stack.first(end);
}

}  // namespace

[[gnu::noinline]] std::vector<void*> call_stack() {
  std::vector<void*> stack(64);
#if __has_include(<execinfo.h>)
  stack.resize(static_cast<std::size_t>(backtrace(stack.data(), static_cast<int>(stack.size()))));
  // From the caller on: a sanitizer puts itself in front of backtrace().
  const auto caller = std::find(stack.begin(), stack.end(), __builtin_return_address(0));
  if (caller != stack.end()) stack.erase(stack.begin(), caller);
#else
  stack.clear();
#endif
  return stack;
}

std::string called_at(std::span<void* const> stack) {
#ifdef XTAPE_WITH_LIBDW
  const DebugInformation debug;
  const std::string sources = own_sources(debug);
#endif
  // Without debug information: where the stack stands in the user's module, innermost first.
  std::string unknown;
  std::size_t count = 0;
  // A user's function whose debug information names the library's lines alone, as link-time optimisation leaves it.
  [[maybe_unused]] std::string inlined;
  const void* const libc = c_library();
  for (void* const returns_to : without_start(stack, libc)) {
    const std::uintptr_t address = address_of(returns_to);
    const Module module(address);
    if (module.is_library() || (libc && module.base == libc)) continue;
    const char* symbol = module.symbol;
#ifdef XTAPE_WITH_LIBDW
    if (const char* known = debug.symbol(address)) symbol = known;
#endif
    const bool is_main = symbol && std::string_view(symbol) == "main";
    const auto frame = [&] {
      return fmt::format("{}+{:#x}{}", module.file, module.offset,
                         symbol ? fmt::format(" ({})", demangled(symbol)) : "");
    };
#ifdef XTAPE_WITH_LIBDW
    const auto places = debug.places(address);
    if (!places.empty() && count == 0) {
      if (auto place = users_place(places, sources)) return *place;
      if (inlined.empty() && symbol && !is_library_symbol(symbol)) inlined = frame();
      if (is_main) break;
      continue;
    }
#endif
    if (symbol && is_library_symbol(symbol)) continue;
    unknown += (count == 0 ? "" : ", ") + frame();
    // Without symbols the innermost may be the library's own, linked statically.
    if (symbol || ++count == 8) break;
  }
  if (!unknown.empty()) return fmt::format("called at {}; {}", unknown, advice);
#ifdef XTAPE_WITH_LIBDW
  if (!inlined.empty()) return fmt::format("called at {}; {}", inlined, no_line);
#endif
  return "called from an unknown place";
}

}  // namespace xtape::detail
