#include "op_table.hpp"

#include <algorithm>
#include <iterator>

namespace xtape::test {

const std::vector<Row>& op_table() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (const auto family : {arithmetic_rows, elementwise_rows, reduce_rows, shape_rows, axes_rows, rearrange_rows,
                              index_rows, linalg_rows, conv_rows, decomposition_rows, loss_rows, transform_rows,
                              scan_rows, einsum_rows, normalise_rows})
      std::ranges::move(family(), std::back_inserter(all));
    return all;
  }();
  return rows;
}

}  // namespace xtape::test
