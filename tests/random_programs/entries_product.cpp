// Products of matrices and vectors.
#include <xtape/ops/linalg.hpp>

#include "program.hpp"

namespace xtape::test {
namespace {

// A shape but for its last two axes.
Shape batch_of(const Shape& s) {
  Shape batch;
  for (std::size_t d = 0; d + 2 < s.size(); ++d) batch.push_back(s[d]);
  return batch;
}
bool broadcast_together(const Shape& a, const Shape& b) {
  for (std::size_t d = 1; d <= std::min(a.size(), b.size()); ++d) {
    const std::size_t m = a[a.size() - d], n = b[b.size() - d];
    if (m != n && m != 1 && n != 1) return false;
  }
  return true;
}

// A vector is a matrix of one row on the left, of one column on the right.
std::optional<Step> draw_matmul(Draw& draw) {
  const std::size_t a = draw.matching([](const Shape& s) { return s.size() > 0 && s.size() < 5; }, Shape{2, 3});
  const Shape left = draw.shape(a);
  const bool row = left.size() == 1;
  const bool ta = draw.flag() && !row;
  const std::size_t k = row ? left[0] : left[left.size() - (ta ? 2 : 1)], m = draw.of<std::size_t>({2, 3, 1, 4});
  const bool tb = draw.flag();
  Shape fresh = tb ? Shape{m, k} : Shape{k, m};
  const std::size_t how = draw.choice(4);
  if (how == 2) fresh = Shape{2, fresh[0], fresh[1]};
  if (how == 2 && left.size() > 2 && left[left.size() - 3] != 1) fresh[0] = left[left.size() - 3];
  if (how == 3) fresh = Shape{k};
  const std::size_t b = draw.matching(
      [&](const Shape& s) {
        if (s.size() == 1) return s[0] == k;
        return s.size() > 1 && s.size() < 5 && s[s.size() - (tb ? 1 : 2)] == k &&
               broadcast_together(batch_of(left), batch_of(s));
      },
      fresh);
  const bool column = draw.shape(b).size() == 1;
  const MatmulOptions options{.transpose_a = ta, .transpose_b = tb};
  return step(
      {a, b},
      fmt::format("matmul({}, {}, {{.transpose_a = {}, .transpose_b = {}}})", Draw::name(a), Draw::name(b), ta, tb),
      [options](const auto& t) { return matmul(t[0], t[1], options); },
      [=](const std::vector<Values>& x) {
        const Shape &sa = x[0].shape, &sb = x[1].shape;
        const std::size_t rows = row ? 1 : sa[sa.size() - (ta ? 1 : 2)];
        const std::size_t columns = column ? 1 : sb[sb.size() - (tb ? 2 : 1)];
        Shape shape = joined_shape<Jet>({{batch_of(sa), {}}, {batch_of(sb), {}}});
        const Shape batch = shape;
        shape.push_back(rows);
        shape.push_back(columns);
        // An operand's element (r, c) of the matrix that the batch's index names.
        const auto element = [](const Values& v, Index i, bool vector, bool transposed, std::size_t r, std::size_t c) {
          i.resize(i.size() - 2);
          if (vector) return v.values[std::max(r, c)];
          i.push_back(transposed ? c : r);
          i.push_back(transposed ? r : c);
          return at(v, i);
        };
        Values result = tabulate<Jet>(shape, [&](const Index& i) {
          Jet s = 0;
          for (std::size_t l = 0; l < k; ++l)
            s += element(x[0], i, row, ta, i[i.size() - 2], l) * element(x[1], i, column, tb, l, i.back());
          return s;
        });
        result.shape = batch;
        if (!row) result.shape.push_back(rows);
        if (!column) result.shape.push_back(columns);
        return result;
      });
}

std::optional<Step> draw_dot(Draw& draw) {
  const std::size_t a = draw.matching([](const Shape& s) { return s.size() == 1; }, Shape{3});
  const std::size_t b = draw.matching([&](const Shape& s) { return s == draw.shape(a); }, draw.shape(a));
  return step(
      {a, b}, fmt::format("dot({}, {})", Draw::name(a), Draw::name(b)), [](const auto& t) { return dot(t[0], t[1]); },
      [](const std::vector<Values>& x) {
        Jet s = 0;
        for (std::size_t i = 0; i < x[0].values.size(); ++i) s += x[0].values[i] * x[1].values[i];
        return Values{{}, {s}};
      });
}

std::optional<Step> draw_outer(Draw& draw) {
  const auto vectors = [](const Shape& s) { return s.size() == 1; };
  const std::size_t a = draw.matching(vectors, Shape{3}), b = draw.matching(vectors, Shape{2});
  return step(
      {a, b}, fmt::format("outer({}, {})", Draw::name(a), Draw::name(b)),
      [](const auto& t) { return outer(t[0], t[1]); },
      [](const std::vector<Values>& x) {
        return tabulate<Jet>({x[0].shape[0], x[1].shape[0]},
                             [&](const Index& i) { return x[0].values[i[0]] * x[1].values[i[1]]; });
      });
}

std::optional<Step> draw_trace(Draw& draw) {
  const std::size_t x = draw.matching([](const Shape& s) { return s.size() > 1; }, Shape{3, 3});
  const std::ptrdiff_t offset = draw.of<std::ptrdiff_t>({0, 1, -1, 2, -7});
  return step(
      {x}, fmt::format("trace({}, {})", Draw::name(x), offset), [offset](const auto& t) { return trace(t[0], offset); },
      [offset](const std::vector<Values>& t) {
        const Shape& from = t[0].shape;
        return tabulate<Jet>(batch_of(from), [&](const Index& i) {
          Jet s = 0;
          for (std::size_t r = 0; r < from[from.size() - 2]; ++r) {
            const std::ptrdiff_t c = static_cast<std::ptrdiff_t>(r) + offset;
            if (c < 0 || c >= static_cast<std::ptrdiff_t>(from.back())) continue;
            Index at_diagonal = i;
            at_diagonal.push_back(r);
            at_diagonal.push_back(static_cast<std::size_t>(c));
            s += at(t[0], at_diagonal);
          }
          return s;
        });
      });
}

}  // namespace

std::vector<Entry> product_entries() {
  return {{"matmul", draw_matmul}, {"dot", draw_dot}, {"outer", draw_outer}, {"trace", draw_trace}};
}

}  // namespace xtape::test
