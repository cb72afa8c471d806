import pytest
import torch

WITHOUT_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT_CUDA])])
def device(request):
    """Each device on which the tensor code is tried; every test compares with the golden model or with rationals."""
    return torch.device(request.param)
