// Rows of the products of matrices.
#include <xtape/ops/linalg.hpp>

#include "op_table_reference.hpp"

namespace xtape::test {
namespace {

Reference product(bool transpose_a, bool transpose_b) {
  return [=](const Arrays& x) {
    const auto swapped = [](const Shape& s, bool swap) {
      Shape result = s;
      if (swap) std::swap(result[s.size() - 1], result[s.size() - 2]);
      return result;
    };
    const Shape a = swapped(x[0].shape, transpose_a), b = swapped(x[1].shape, transpose_b);
    Shape shape{a[a.size() - 2], b.back()};
    const std::size_t batch_a = a.size() == 3 ? a[0] : 1, batch_b = b.size() == 3 ? b[0] : 1;
    if (a.size() == 3 || b.size() == 3) shape = {batch_a == 1 ? batch_b : batch_a, shape[0], shape[1]};
    return tabulate(shape, [&](const Index& i) {
      const std::size_t batch = i.size() == 3 ? i[0] : 0, row = i[i.size() - 2], column = i.back();
      Real s = 0;
      for (std::size_t k = 0; k < a.back(); ++k)
        s += at(x[0], transpose_a ? Index{batch, k, row} : Index{batch, row, k}) *
             at(x[1], transpose_b ? Index{batch, column, k} : Index{batch, k, column});
      return s;
    });
  };
}

Case matmul_case(bool transpose_a, bool transpose_b, std::vector<std::vector<Shape>> shapes) {
  return {[=](const auto& x) { return matmul(x[0], x[1], {.transpose_a = transpose_a, .transpose_b = transpose_b}); },
          product(transpose_a, transpose_b), std::move(shapes)};
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
                              {{0, 2, 3}, {3, 2}}}),
                 matmul_case(true, false,
                             {{{3, 2}, {3, 4}},
                              {{2, 3, 2}, {2, 3, 4}},
                              {{2, 3, 2}, {3, 2}},
                              {{3, 2}, {2, 3, 2}},
                              {{2, 2}, {2, 2}},
                              {{0, 2}, {0, 3}},
                              {{2, 3, 2}, {1, 3, 2}}}),
                 matmul_case(false, true,
                             {{{2, 3}, {4, 3}},
                              {{2, 2, 3}, {2, 4, 3}},
                              {{2, 2, 3}, {2, 3}},
                              {{2, 3}, {2, 2, 3}},
                              {{2, 2}, {2, 2}},
                              {{1, 2, 3}, {2, 2, 3}}}),
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
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{3}, {3, 2}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 3}, {}}},
                   {[](const auto& x) { return matmul(x[0], x[1]); }, {{2, 2, 2, 3}, {3, 2}}},
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
  };
}

}  // namespace xtape::test
