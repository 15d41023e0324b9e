/* The 16 points and weights of Gauss and Legendre on (-1, 1): each stands for itself and its mirror image. */
#ifndef IMPLICITOPS_GAUSS_H
#define IMPLICITOPS_GAUSS_H

#define IOP_GAUSS 8

static const double iop_gauss_node[IOP_GAUSS] = {0.09501250983763744, 0.28160355077925891, 0.45801677765722739,
                                                 0.61787624440264375, 0.75540440835500303, 0.86563120238783174,
                                                 0.94457502307323258, 0.98940093499164993};
static const double iop_gauss_weight[IOP_GAUSS] = {0.18945061045506850, 0.18260341504492359, 0.16915651939500254,
                                                   0.14959598881657673, 0.12462897125553387, 0.09515851168249278,
                                                   0.06225352393864789, 0.02715245941175409};

#endif
