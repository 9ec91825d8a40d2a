// The row of einsum.
#include <xtape/ops/einsum.hpp>

#include "op_table_reference.hpp"

#include <algorithm>

namespace xtape::test {
namespace {

// The sum over all letters that the output lacks, by one loop nest over all letters. Every axis has its letter here.
Reference sum_of_products(const std::vector<std::string>& terms, const std::string& output) {
  return [=](const Arrays& x) {
    std::string letters = output;
    for (const std::string& term : terms)
      for (const char c : term)
        if (letters.find(c) == std::string::npos) letters += c;
    Shape extents;
    for (const char c : letters) {
      std::size_t extent = 1;
      for (std::size_t k = 0; k < terms.size(); ++k)
        for (std::size_t i = 0; i < terms[k].size(); ++i)
          if (terms[k][i] == c && x[k].shape[i] != 1) extent = x[k].shape[i];
      extents.push_back(extent);
    }
    Shape kept, summed;
    for (std::size_t i = 0; i < extents.size(); ++i) (i < output.size() ? kept : summed).push_back(extents[i]);
    return tabulate(kept, [&](const Index& outer) {
      Real total = 0;
      static_cast<void>(tabulate(summed, [&](const Index& inner) -> Real {
        Real product = 1;
        for (std::size_t k = 0; k < terms.size(); ++k) {
          Index place;
          for (const char c : terms[k]) {
            const std::size_t letter = letters.find(c);
            place.push_back(letter < output.size() ? outer[letter] : inner[letter - output.size()]);
          }
          product *= at(x[k], place);
        }
        total += product;
        return 0;
      }));
      return total;
    });
  };
}

struct Setting {
  const char* subscripts;
  std::vector<std::string> terms;  // with letters for the ellipsis, too
  std::string output;
  std::vector<std::vector<Shape>> shapes;
};
const std::vector<Setting> settings{
    // One operand: as it is, transposed, summed, its diagonals.
    {"ij->ij", {"ij"}, "ij", {{{2, 3}}, {{0, 3}}}},
    {"ij->ji", {"ij"}, "ji", {{{2, 3}}}},
    {"ba", {"ba"}, "ab", {{{2, 3}}}},
    {"aB", {"aB"}, "Ba", {{{2, 3}}}},
    {"ijk->k", {"ijk"}, "k", {{{2, 3, 2}}, {{2, 0, 2}}}},
    {"ij->", {"ij"}, "", {{{2, 3}}}},
    {"", {""}, "", {{{}}}},
    {"ii", {"ii"}, "", {{{3, 3}}, {{1, 1}}, {{0, 0}}}},
    {"ii->i", {"ii"}, "i", {{{3, 3}}}},
    {"iji->ji", {"iji"}, "ji", {{{2, 3, 2}}}},
    {"iijj->ij", {"iijj"}, "ij", {{{2, 2, 3, 3}}}},
    {"iii", {"iii"}, "", {{{2, 2, 2}}}},
    {"...ii->...", {"xii"}, "x", {{{2, 3, 3}}}},
    {"i...->...", {"ix"}, "x", {{{3, 2}}}},
    {"...", {"xy"}, "xy", {{{2, 3}}}},
    // Two: products of matrices in every arrangement.
    {"ij,jk->ik", {"ij", "jk"}, "ik", {{{2, 3}, {3, 4}}, {{2, 0}, {0, 2}}, {{1, 1}, {1, 1}}, {{0, 2}, {2, 3}}}},
    {"ij , jk", {"ij", "jk"}, "ik", {{{2, 3}, {3, 2}}}},
    {"ij,kj->ik", {"ij", "kj"}, "ik", {{{2, 3}, {4, 3}}}},
    {"ji,jk->ki", {"ji", "jk"}, "ki", {{{3, 2}, {3, 4}}}},
    {"ijk,kjl->il", {"ijk", "kjl"}, "il", {{{2, 3, 2}, {2, 3, 3}}}},
    {"ij,j->i", {"ij", "j"}, "i", {{{2, 3}, {3}}}},
    {"j,ij", {"j", "ij"}, "i", {{{3}, {2, 3}}}},
    {"i,i", {"i", "i"}, "", {{{5}, {5}}, {{0}, {0}}}},
    {"i,i->i", {"i", "i"}, "i", {{{5}, {5}}}},
    {"i,j->ij", {"i", "j"}, "ij", {{{2}, {3}}}},
    {"i,j->ji", {"i", "j"}, "ji", {{{2}, {3}}}},
    {"ij,ij", {"ij", "ij"}, "", {{{2, 3}, {2, 3}}}},
    {"ij,ji->", {"ij", "ji"}, "", {{{2, 3}, {3, 2}}}},
    {"ij,k->k", {"ij", "k"}, "k", {{{2, 3}, {2}}}},
    {",ij", {"", "ij"}, "ij", {{{}, {2, 2}}}},
    {",", {"", ""}, "", {{{}, {}}}},
    // Batches.
    {"bij,bjk->bik", {"bij", "bjk"}, "bik", {{{2, 2, 3}, {2, 3, 2}}, {{0, 2, 2}, {0, 2, 2}}, {{1, 2, 2}, {3, 2, 2}}}},
    {"bij,jk->bik", {"bij", "jk"}, "bik", {{{2, 2, 3}, {3, 2}}}},
    {"bi,bi->b", {"bi", "bi"}, "b", {{{3, 2}, {3, 2}}}},
    {"bi,b->bi", {"bi", "b"}, "bi", {{{3, 2}, {3}}}},
    {"b,ib->ib", {"b", "ib"}, "ib", {{{3}, {2, 3}}}},
    {"bi,bj->bij", {"bi", "bj"}, "bij", {{{2, 3}, {2, 2}}}},
    {"bhqd,bhkd->bhqk", {"bhqd", "bhkd"}, "bhqk", {{{2, 2, 2, 2}, {2, 2, 3, 2}}}},
    {"...ij,...jk->...ik", {"xij", "xjk"}, "xik", {{{2, 2, 2}, {2, 2, 3}}, {{2, 2, 2}, {1, 2, 2}}}},
    {"...ij,...jk", {"xij", "jk"}, "xik", {{{2, 2, 2}, {2, 3}}}},
    {"ij,...j->i...", {"ij", "xj"}, "ix", {{{2, 3}, {2, 3}}}},
    {"...,...", {"xy", "y"}, "xy", {{{2, 3}, {3}}, {{2, 3}, {1}}, {{2, 1}, {3}}}},
    // Extents of 1 beside longer ones.
    {"ij,jk->ik", {"ij", "jk"}, "ik", {{{2, 1}, {3, 2}}, {{2, 3}, {1, 2}}}},
    {"i,i", {"i", "i"}, "", {{{1}, {4}}}},
    // Diagonals within a product.
    {"ii,ij->j", {"ii", "ij"}, "j", {{{2, 2}, {2, 3}}}},
    {"ij,jj->ij", {"ij", "jj"}, "ij", {{{2, 3}, {3, 3}}}},
    // More.
    {"ij,jk,kl->il", {"ij", "jk", "kl"}, "il", {{{2, 3}, {3, 2}, {2, 2}}}},
    {"i,ij,j", {"i", "ij", "j"}, "", {{{2}, {2, 3}, {3}}}},
    {"ni,ijk,nk->nj", {"ni", "ijk", "nk"}, "nj", {{{2, 2}, {2, 3, 2}, {2, 2}}}},
    {"a,b,c,d->dbca", {"a", "b", "c", "d"}, "dbca", {{{2}, {1}, {2}, {3}}}},
    {"ab,ab,ab->b", {"ab", "ab", "ab"}, "b", {{{2, 3}, {2, 3}, {2, 3}}}},
    {"i,ij,jk,k->", {"i", "ij", "jk", "k"}, "", {{{2}, {2, 3}, {3, 2}, {2}}}},
};

Refused refused(const char* subscripts, std::vector<Shape> shapes) {
  return {[subscripts](const auto& x) { return einsum(subscripts, x); }, std::move(shapes)};
}

}  // namespace

std::vector<Row> einsum_rows() {
  Row row{.name = "einsum",
          .domains = {{.low = 0.5, .high = 2}},  // of either sign the products would cancel
          .records = {"einsum", "sum", "reshape", "transpose", "matmul", "multiply", "dot", "gather_flat"},
          .helpers = {"scatter_flat"},
          .refused = {refused("ij,jk->ik", {{2, 3}, {4, 2}}), refused("ii", {{2, 3}}), refused("ij", {{2, 3, 4}}),
                      refused("ijk", {{2, 3}}), refused("...ijk", {{2, 3}}), refused("i...,i...", {{2, 3}, {2, 4}}),
                      refused("ii->i", {{1, 3}}), refused("abcdef,ghi->abcdefghi", {{1, 1, 1, 1, 1, 1}, {1, 1, 1}})}};
  for (const auto& [subscripts, terms, output, shapes] : settings)
    row.cases.push_back({[subscripts = subscripts](const auto& x) { return einsum(subscripts, x); },
                         sum_of_products(terms, output), shapes});
  return {row};
}

}  // namespace xtape::test
