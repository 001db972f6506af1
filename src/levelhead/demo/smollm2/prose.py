"""Plain prose without people in it: what steering costs is measured as the change of its likelihood."""

from __future__ import annotations

NEUTRAL: dict[str, tuple[str, ...]] = {
    "validation": (
        "Water moves through a landscape in a slow circle. It rises from lakes and seas as vapor, drifts with the wind, "
        "cools over the hills, and falls again as rain or snow. Some of it soaks into the ground and stays there for years "
        "before it reaches a spring. The rest runs off the surface, gathers in small streams, and ends up in a river that "
        "carries it back to the coast. A dry summer breaks the circle for a while, but the first storms of autumn close it.",
        "The old bridge has three arches and was built from gray stone that came from a quarry ten miles to the north. In "
        "the spring the water reaches the second row of blocks, and branches collect against the piers. Every few years "
        "the joints are cleaned and filled with fresh mortar. Cars are no longer allowed to cross, so the road on top has "
        "turned into a path for bicycles and for walks after dinner. A small sign at each end gives the year it was opened.",
        "To make a simple soup, cut two onions and three carrots into small pieces and let them soften in a little oil. Add "
        "a liter of water, a cup of red lentils, and a pinch of salt, and leave the pot on a low flame for half an hour. "
        "The lentils fall apart and thicken the broth. Lemon juice and pepper go in at the end. The soup keeps for three "
        "days in a cold place, and most people find that it tastes better on the second.",
    ),
    "test": (
        "A compass needle does not point to the top of the world but to a spot in the far north of Canada, and that "
        "spot wanders by some thirty miles a year. For a short hike the difference is too small to notice. For a ship "
        "that crosses an ocean it matters, so charts carry a small diagram that says how far the needle is off, and "
        "by how much the error grows each year.",
        "The library stays open until nine on weekdays and until six on Saturdays. Books can be borrowed for four "
        "weeks, and the loan can be renewed twice unless there is a request for the same title. Newspapers from the "
        "last ten years are kept in the basement and must be read there. The reading room has thirty tables.",
        "Bread rises because yeast eats the sugar in the flour and gives off gas. The gas is caught in a net of "
        "gluten, which forms when the dough is wet and is worked for some minutes. In a warm kitchen the dough "
        "doubles in an hour; in a refrigerator it takes a night, and the slow way gives more flavor.",
        "Most of the stars that can be seen without a telescope are larger and brighter than the sun. Small red stars "
        "are far more common, yet not one of them is bright enough to be seen by the naked eye. The faint band that "
        "runs across the sky is the light of the galaxy itself, seen from a place inside the disk.",
        "The train leaves the capital at seven in the morning and follows the river for the first two hours. After "
        "the junction the line climbs through a forest of pine and birch, and the cars slow down on the long curves. "
        "There is a stop of ten minutes at the pass, where a second engine is taken off.",
        "Paper can be recycled five to seven times. With every round the fibers become shorter, and at some point "
        "they no longer hold together, so mills add a share of fresh pulp. Ink is removed with soap and air: the "
        "bubbles carry the pigment to the surface, where it is skimmed off. Cardboard, which needs less brightness, "
        "is the usual end of the line for old office paper.",
        "A garden on a balcony needs pots with holes, light soil, and something to hold back the wind. Herbs such as "
        "thyme and sage want sun and little water; lettuce and mint do well in the shade. The first frost ends the "
        "season, and the soil should then be mixed with compost and left alone until March.",
        "Early maps of the coast were drawn from the deck of a ship, with a rope to measure the depth and a clock to "
        "measure the distance. Bays look too wide on them, and capes too sharp, since the angle of view changed with "
        "every tack. The printed sheets were sold in harbors and corrected by hand.",
    ),
}
"""Our own paragraphs, three to five hundred characters each. The paragraph is the unit that is resampled."""
