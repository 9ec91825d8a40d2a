// Rows of the products of matrices.
#include <xtape/ops/linalg.hpp>

#include "op_table_reference.hpp"

namespace xtape::test {
namespace {

// NumPy's product: the axes before the last two broadcast; a vector is a row on the left, a column on the right.
Reference product(bool transpose_a, bool transpose_b) {
  return [=](const Arrays& x) {
    const bool row = x[0].shape.size() == 1, column = x[1].shape.size() == 1;
    const bool ta = transpose_a && !row, tb = transpose_b && !column;
    const auto last = [](const Shape& s, std::size_t back) { return s[s.size() - back]; };
    const auto batch = [](const Shape& s) {
      Array array;
      for (std::size_t i = 0; i + 2 < s.size(); ++i) array.shape.push_back(s[i]);
      return array;
    };
    Shape shape = joined_shape({batch(x[0].shape), batch(x[1].shape)});
    const std::size_t batches = shape.size();
    if (!row) shape.push_back(last(x[0].shape, ta ? 1 : 2));
    if (!column) shape.push_back(last(x[1].shape, tb ? 2 : 1));
    const std::size_t inner = last(x[0].shape, row || !ta ? 1 : 2);
    return tabulate(shape, [&](const Index& i) {
      const Index outer(i.begin(), i.begin() + static_cast<std::ptrdiff_t>(batches));
      const auto of = [&](const Array& a, bool vector, bool swapped, std::size_t r, std::size_t c, std::size_t k) {
        if (vector) return a.values[k];
        Index place = outer;
        place.push_back(swapped ? c : r);
        place.push_back(swapped ? r : c);
        return at(a, Index(place.end() - static_cast<std::ptrdiff_t>(a.shape.size()), place.end()));
      };
      Real s = 0;
      for (std::size_t k = 0; k < inner; ++k)
        s += of(x[0], row, ta, row ? 0 : i[batches], k, k) * of(x[1], column, tb, k, column ? 0 : i.back(), k);
      return s;
    });
  };
}

Case matmul_case(bool transpose_a, bool transpose_b, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return matmul(x[0], x[1], {.transpose_a = transpose_a, .transpose_b = transpose_b}); },
          product(transpose_a, transpose_b), std::move(shapes)};
}

Row trace_row() {
  Row row{.name = "trace",
          .flags = linear,
          .records = {"reshape", "slice", "sum"},
          .refused = {{[](const auto& x) { return trace(x[0]); }, {{3}}},
                      {[](const auto& x) { return trace(x[0], 1); }, {Shape{}}}}};
  for (const std::ptrdiff_t offset : {0, 1, -1, 2, -2, 5, -5})
    row.cases.push_back({[=](const auto& x) { return trace(x[0], offset); },
                         [=](const Arrays& x) {
                           const Shape& s = x[0].shape;
                           Shape batch;
                           for (std::size_t i = 0; i + 2 < s.size(); ++i) batch.push_back(s[i]);
                           return tabulate(batch, [&](Index index) {
                             Real sum = 0;
                             index.resize(s.size());
                             for (std::size_t i = 0; i < s[s.size() - 2]; ++i)
                               for (std::size_t j = 0; j < s.back(); ++j)
                                 if (static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(i) == offset) {
                                   index[s.size() - 2] = i;
                                   index[s.size() - 1] = j;
                                   sum += at(x[0], index);
                                 }
                             return sum;
                           });
                         },
                         {{{3, 3}}, {{2, 4}}, {{4, 2}}, {{1, 1}}, {{2, 3, 3}}, {{2, 1, 3, 2}}, {{0, 0}}, {{2, 0, 3}}}});
  return row;
}

}  // namespace

std::vector<Row> linalg_rows() {
  return {
      {.name = "matmul",
       .cases = {matmul_case(false, false,
                             {{{2, 3}, {3, 2}},
                              {{1, 4}, {4, 1}},
                              {{5, 9}, {9, 3}},
                              {{2, 2, 3}, {2, 3, 2}},
                              {{2, 2, 3}, {3, 2}},
                              {{2, 3}, {2, 3, 2}},
                              {{1, 2, 3}, {2, 3, 2}},
                              {{2, 2, 3}, {1, 3, 2}},
                              {{2, 0}, {0, 3}},
                              {{0, 3}, {3, 2}},
                              {{2, 3}, {3, 0}},
                              {{2, 2}, {2, 2}},
                              {{0, 2, 3}, {3, 2}},
                              {{3}, {3}},
                              {{3}, {3, 2}},
                              {{2, 3}, {3}},
                              {{2, 2, 3}, {3}},
                              {{2}, {2, 1, 2, 2}},
                              {{0}, {0}},
                              {{0}, {0, 2}},
                              {{2, 2, 1, 3}, {3, 2}},
                              {{2, 1, 2, 2}, {3, 2, 1}},
                              {{2, 3}, {2, 1, 3, 1}},
                              {{1, 1, 1, 2, 2}, {2, 2}},
                              {{2, 0, 2, 2}, {1, 2, 2}}}),
                 matmul_case(true, false,
                             {{{3, 2}, {3, 4}},
                              {{2, 3, 2}, {2, 3, 4}},
                              {{2, 3, 2}, {3, 2}},
                              {{3, 2}, {2, 3, 2}},
                              {{2, 2}, {2, 2}},
                              {{0, 2}, {0, 3}},
                              {{2, 3, 2}, {1, 3, 2}},
                              {{3}, {3, 2}},
                              {{3, 2}, {3}},
                              {{2, 1, 3, 2}, {2, 3, 1}}}),
                 matmul_case(false, true,
                             {{{2, 3}, {4, 3}},
                              {{2, 2, 3}, {2, 4, 3}},
                              {{2, 2, 3}, {2, 3}},
                              {{2, 3}, {2, 2, 3}},
                              {{2, 2}, {2, 2}},
                              {{1, 2, 3}, {2, 2, 3}},
                              {{3}, {2, 3}},
                              {{2, 3}, {3}},
                              {{2, 2, 3}, {2, 1, 2, 3}}}),
                 matmul_case(true, true,
                             {{{3, 2}, {4, 3}},
                              {{2, 3, 2}, {2, 4, 3}},
                              {{2, 3, 2}, {2, 3}},
                              {{3, 2}, {2, 2, 3}},
                              {{2, 2}, {2, 2}}})},
       .records = {"matmul", "reshape"},
       .refused = {{[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3}, {4, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1], {.transpose_a = true}); }, {{2, 3}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1], {.transpose_b = true}); }, {{2, 3}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 2, 3}, {3, 3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{3, 2}, {3}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2}, {3}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3}, {}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{}, {3}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3, 2, 3}, {2, 1, 3, 2, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3, 2, 3}, {2, 3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 2, 3}, {0, 3, 2}}}}},
      {.name = "dot",
       .cases = {{[](const auto& x) { return dot(x[0], x[1]); },
                  [](const Arrays& x) {
                    Real s = 0;
                    for (std::size_t i = 0; i < x[0].values.size(); ++i) s += x[0].values[i] * x[1].values[i];
                    return Array{{}, {s}};
                  },
                  {{{3}, {3}}, {{1}, {1}}, {{37}, {37}}, {{0}, {0}}}}},
       .refused = {{[](const auto& x) { return dot(x[0], x[1]); }, {{3}, {4}}},
                   {[](const auto& x) { return dot(x[0], x[1]); }, {{2, 2}, {2, 2}}},
                   {[](const auto& x) { return dot(x[0], x[1]); }, {{}, {}}}}},
      {.name = "outer",
       .cases = {{[](const auto& x) { return outer(x[0], x[1]); },
                  [](const Arrays& x) {
                    return tabulate({x[0].shape[0], x[1].shape[0]},
                                    [&](const Index& i) { return x[0].values[i[0]] * x[1].values[i[1]]; });
                  },
                  {{{2}, {3}}, {{1}, {1}}, {{3}, {19}}, {{4}, {4}}, {{0}, {2}}, {{2}, {0}}}}},
       .refused = {{[](const auto& x) { return outer(x[0], x[1]); }, {{3}, {2, 2}}},
                   {[](const auto& x) { return outer(x[0], x[1]); }, {{}, {2}}}}},
      trace_row(),
  };
}

}  // namespace xtape::test
