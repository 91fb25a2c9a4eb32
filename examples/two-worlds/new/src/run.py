import platform

import numpy

with open("results/versions.txt", "w") as f:
    f.write("Python {} numpy {} sum {}\n".format(platform.python_version(), numpy.__version__,
                                                  numpy.arange(10).sum()))
print(open("results/versions.txt").read(), end="")
