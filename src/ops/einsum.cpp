#include <xtape/ops/einsum.hpp>

#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>

#include "common.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace xtape {
namespace {

// The axes of a tensor by name: letters as they are, axes of the ellipsis as 0, 1, ... from the last one.
using Names = std::string;
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool has(const Names& names, char name) { return names.find(name) != Names::npos; }

// One term of the subscripts, "ij...k".
struct Term {
  Names before, after;  // the letters on either side of the ellipsis
  bool ellipsis = false;
  Names expanded(std::size_t ellipsis_axes) const {
    Names names = before;
    for (std::size_t i = ellipsis_axes; i-- > 0;) names += static_cast<char>(i);
    return names + after;
  }
  std::size_t letters() const { return before.size() + after.size(); }
};

// What was asked for, to quote it in messages.
template <class T> struct Request {
  std::string_view subscripts;
  const std::vector<Tensor<T>>& operands;
  std::string shown() const {
    std::vector<std::string> shapes;
    for (const auto& x : operands) shapes.push_back(to_string(x.shape()));
    return fmt::format("\"{}\" with {}", subscripts, fmt::join(shapes, " and "));
  }
  template <class E = ShapeError> [[noreturn]] void fail(const std::string& what) const {
    throw E(fmt::format("einsum: {}: {}", what, shown()));
  }

  Term term(std::string_view text) const {
    Term result;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == ' ') continue;
      if (is_letter(text[i])) {
        (result.ellipsis ? result.after : result.before) += text[i];
      } else if (!result.ellipsis && text.substr(i, 3) == "...") {
        result.ellipsis = true;
        i += 2;
      } else {
        fail<ValueError>(fmt::format("subscripts are letters and at most one ellipsis, not \"{}\"", text));
      }
    }
    return result;
  }
};

// A tensor whose axes have names, each once.
template <class T> struct Named {
  Tensor<T> x;
  Names names;
  std::size_t extent(char name) const { return x.shape()[names.find(name)]; }
};

template <class T> Named<T> sum_out(const Named<T>& a, const Names& needed) {
  Axes axes;
  Names left;
  for (std::size_t i = 0; i < a.names.size(); ++i) {
    if (has(needed, a.names[i]))
      left += a.names[i];
    else
      axes.push_back(static_cast<std::ptrdiff_t>(i));
  }
  return axes.empty() ? a : Named<T>{sum(a.x, axes), left};
}

template <class T> Tensor<T> arranged(const Named<T>& a, const Names& order) {
  if (a.names == order) return a.x;
  Axes axes;
  for (const char name : order) axes.push_back(static_cast<std::ptrdiff_t>(a.names.find(name)));
  return transpose(a.x, axes);
}

// The diagonal of axes that share a name.
template <class T> Named<T> diagonal(const Request<T>& request, const Tensor<T>& x, const Names& names) {
  Names distinct;
  Shape shape;
  std::array<std::size_t, max_rank> stride{};  // of each name: the sum of its axes' strides
  std::size_t step = x.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t extent = x.shape()[i], at = distinct.find(names[i]);
    if (extent > 0) step /= extent;
    if (at == Names::npos) {
      stride[distinct.size()] = step;
      distinct += names[i];
      shape.push_back(extent);
    } else if (shape[at] == extent) {
      stride[at] += step;
    } else {
      request.fail(fmt::format("axes {} of one operand have extents {} and {}", names[i], shape[at], extent));
    }
  }
  if (distinct == names) return {x, names};
  if (x.size() > 0xffffffffU) request.fail("an operand with a repeated subscript has more than 2^32 elements");
  const detail::Indices places(shape.elements());
  std::array<std::size_t, max_rank> index{};
  for (std::size_t i = 0, from = 0; i < places.size(); ++i) {
    places.data()[i] = static_cast<std::uint32_t>(from);
    for (std::size_t d = shape.size(); d-- > 0;) {
      from += stride[d];
      if (++index[d] < shape[d]) break;
      from -= stride[d] * shape[d];
      index[d] = 0;
    }
  }
  return {detail::gather_flat(x, places, shape), distinct};
}

// Names of the axes of a pair, by what becomes of them.
template <class T> struct Pairing {
  Names batch, left, right, contracted;
  double cost = 1;  // products to be summed
  Pairing(const Named<T>& a, const Named<T>& b, const Names& needed) {
    for (const char name : a.names) {
      if (has(b.names, name))
        (has(needed, name) ? batch : contracted) += name;
      else
        left += name;
      cost *= static_cast<double>(a.extent(name));
    }
    for (const char name : b.names)
      if (!has(a.names, name)) right += name, cost *= static_cast<double>(b.extent(name));
  }
};

template <class T> std::size_t extents(const Named<T>& a, const Names& names) {
  std::size_t product = 1;
  for (const char name : names) product *= a.extent(name);
  return product;
}

template <class T> Named<T> contract(const Named<T>& a, const Named<T>& b, const Pairing<T>& pair) {
  const Names &batch = pair.batch, &left = pair.left, &right = pair.right, &contracted = pair.contracted;
  if (left.empty() && right.empty()) {
    if (!batch.empty())
      return sum_out(Named<T>{arranged(a, batch + contracted) * arranged(b, batch + contracted), batch + contracted},
                     batch);
    const auto flat = [&](const Named<T>& x) { return reshape(arranged(x, contracted), Shape{x.x.size()}); };
    return {dot(flat(a), flat(b)), {}};
  }
  // A transposed matrix is a flag of the product, not a copy.
  const bool transpose_a = a.names == batch + contracted + left && !(contracted.empty() || left.empty());
  const bool transpose_b = b.names != batch + contracted + right && !(contracted.empty() || right.empty());
  const std::size_t k = extents(a, contracted), n = extents(a, left), m = extents(b, right);
  const auto matrices = [&](const Named<T>& x, const Names& rows, const Names& columns, std::size_t r, std::size_t c) {
    const Tensor<T> y = arranged(x, batch + rows + columns);
    return reshape(y, batch.empty() ? Shape{r, c} : Shape{extents(x, batch), r, c});
  };
  const Tensor<T> ma = transpose_a ? matrices(a, contracted, left, k, n) : matrices(a, left, contracted, n, k);
  const Tensor<T> mb = transpose_b ? matrices(b, right, contracted, m, k) : matrices(b, contracted, right, k, m);
  Shape shape;
  for (const char name : batch + left) shape.push_back(a.extent(name));
  for (const char name : right) shape.push_back(b.extent(name));
  // With nothing to sum, and one side to repeat along the other: a product of numbers.
  const bool scaled = contracted.empty() && (left.empty() || right.empty());
  const Tensor<T> y = scaled ? ma * mb : matmul(ma, mb, {.transpose_a = transpose_a, .transpose_b = transpose_b});
  return {reshape(y, shape), batch + left + right};
}

}  // namespace

template <class T> Tensor<T> einsum(std::string_view subscripts, const std::vector<Tensor<T>>& operands) {
  const Request<T> request{subscripts, operands};
  // The terms.
  const std::size_t arrow = subscripts.find("->");
  std::vector<Term> terms;
  for (std::string_view rest = subscripts.substr(0, arrow);;) {
    const std::size_t comma = rest.find(',');
    terms.push_back(request.term(rest.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  if (terms.size() != operands.size())
    request.template fail<ValueError>(fmt::format("{} terms for {} operands", terms.size(), operands.size()));

  // A name for each axis.
  std::vector<Named<T>> parts;
  std::size_t ellipsis_axes = 0;
  std::array<std::size_t, 128> extent{}, occurrences{};
  for (std::size_t k = 0; k < terms.size(); ++k) {
    const std::size_t rank = operands[k].dimension(), letters = terms[k].letters();
    if (letters > rank || (letters < rank && !terms[k].ellipsis))
      request.fail(fmt::format("{} subscripts for the {} axes of operand {}", letters, rank, k));
    ellipsis_axes = std::max(ellipsis_axes, rank - letters);
    parts.push_back(diagonal(request, operands[k], terms[k].expanded(rank - letters)));
    for (const char letter : terms[k].before + terms[k].after) ++occurrences[static_cast<std::size_t>(letter)];
    for (const char name : parts.back().names) {
      std::size_t& known = extent[static_cast<std::size_t>(name)];
      const std::size_t given = parts.back().extent(name);
      const bool is_new =
          std::none_of(parts.begin(), parts.end() - 1, [&](const auto& p) { return has(p.names, name); });
      if (!is_new && known != given && known != 1 && given != 1)
        request.fail(is_letter(name) ? fmt::format("axes {} have extents {} and {}", name, known, given)
                                     : fmt::format("axes of the ellipsis have extents {} and {}", known, given));
      if (is_new || known == 1) known = given;
    }
  }
  // An axis of extent 1 beside longer ones of its name: the operand does not depend on it.
  for (Named<T>& part : parts) {
    Axes axes;
    Names left;
    for (std::size_t i = 0; i < part.names.size(); ++i) {
      if (part.x.shape()[i] == 1 && extent[static_cast<std::size_t>(part.names[i])] != 1)
        axes.push_back(static_cast<std::ptrdiff_t>(i));
      else
        left += part.names[i];
    }
    if (!axes.empty()) part = {squeeze(part.x, axes), left};
  }

  // The output.
  Names output;
  if (arrow == std::string_view::npos) {
    output = Term{}.expanded(ellipsis_axes);
    for (std::size_t letter = 0; letter < occurrences.size(); ++letter)
      if (occurrences[letter] == 1) output += static_cast<char>(letter);
  } else {
    const Term term = request.term(subscripts.substr(arrow + 2));
    if (!term.ellipsis && ellipsis_axes > 0) request.template fail<ValueError>("the output lacks the ellipsis");
    output = term.expanded(ellipsis_axes * term.ellipsis);
    for (const char letter : term.before + term.after) {
      if (occurrences[static_cast<std::size_t>(letter)] == 0)
        request.template fail<ValueError>(fmt::format("no operand has the output's axis {}", letter));
      if (std::count(output.begin(), output.end(), letter) > 1)
        request.template fail<ValueError>(fmt::format("the output has axis {} twice", letter));
    }
  }
  if (output.size() > max_rank) request.fail(fmt::format("the result has more than {} axes", max_rank));

  // Each operand without the axes that nobody else needs; then pair by pair.
  const auto needed_beside = [&](std::size_t i, std::size_t j) {
    Names names = output;
    for (std::size_t k = 0; k < parts.size(); ++k)
      if (k != i && k != j) names += parts[k].names;
    return names;
  };
  for (std::size_t k = 0; k < parts.size(); ++k) parts[k] = sum_out(parts[k], needed_beside(k, k));
  while (parts.size() > 1) {
    std::size_t first = 0, second = 1;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t i = 0; i < parts.size(); ++i)
      for (std::size_t j = i + 1; j < parts.size(); ++j) {
        const double cost = Pairing<T>(parts[i], parts[j], needed_beside(i, j)).cost;
        if (cost < least) first = i, second = j, least = cost;
      }
    const Pairing<T> pair(parts[first], parts[second], needed_beside(first, second));
    if (pair.batch.size() + pair.left.size() + pair.right.size() > max_rank)
      request.fail(fmt::format("an intermediate result has more than {} axes", max_rank));
    parts[first] = contract(parts[first], parts[second], pair);
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(second));
  }
  const Tensor<T> y = arranged(parts[0], output);
  return y.impl().get() == operands[0].impl().get() ? detail::unchanged("einsum", y) : y;
}

#define XTAPE_EINSUM(T) template Tensor<T> einsum(std::string_view, const std::vector<Tensor<T>>&);
XTAPE_INSTANTIATE(XTAPE_EINSUM)

}  // namespace xtape
