#pragma once
/// \file xtape.hpp  Everything.

#include <xtape/data/batches.hpp>
#include <xtape/data/digits.hpp>
#include <xtape/data/readers.hpp>
#include <xtape/energy/contrastive_divergence.hpp>
#include <xtape/energy/gibbs.hpp>
#include <xtape/energy/rbm.hpp>
#include <xtape/error.hpp>
#include <xtape/init.hpp>
#include <xtape/map.hpp>
#include <xtape/ops/arithmetic.hpp>
#include <xtape/ops/conv.hpp>
#include <xtape/ops/elementwise.hpp>
#include <xtape/ops/linalg.hpp>
#include <xtape/ops/loss.hpp>
#include <xtape/ops/pool.hpp>
#include <xtape/ops/random.hpp>
#include <xtape/ops/reduce.hpp>
#include <xtape/ops/shape.hpp>
#include <xtape/ops/softmax.hpp>
#include <xtape/optim.hpp>
#include <xtape/record.hpp>
#include <xtape/rng.hpp>
#include <xtape/tape.hpp>
#include <xtape/tensor.hpp>
#include <xtape/verify.hpp>
