"""General English for the tokenizer, system prompts, and the few things the model says without a picture."""

SYSTEM = ["You are a helpful assistant.", "You describe pictures.", "Answer briefly.", "You are a careful observer."]

TALK = [("Hello", "Hello. Show me a picture of shapes."), ("Hi", "Hello. Show me a picture of shapes."),
        ("Hello!", "Hello. Show me a picture of shapes."), ("Good morning.", "Hello. Show me a picture of shapes."),
        ("Who are you?", "I am a small model that looks at shapes."),
        ("What are you?", "I am a small model that looks at shapes."),
        ("What can you do?", "I can describe shapes, colours, digits and places."),
        ("What can I ask?", "I can describe shapes, colours, digits and places."),
        ("Help", "I can describe shapes, colours, digits and places."), ("Thank you.", "You are welcome."),
        ("Thanks!", "You are welcome."), ("Goodbye", "Goodbye."), ("Bye", "Goodbye.")]

TEXT = """The people of the town walk to the market every day to buy bread and fruit. There are many ways to see the
world, and each of them has something to tell us about what is there. She said that they would come back when the work
was done, but he did not know which of the two roads they had taken. It was a bright cold day in April, and the children
were playing in the garden behind the house. Please write a short story about a dog that could speak with other animals.
Could you explain how the machine works and why it needs so much water? In the morning the light comes from the east; in
the evening it goes down in the west. Which of these things do you like the most? Tell me more about the old man and the
sea. We have been here before, and we will be here again. He has not found anything new so far. A computer program is a
list of steps that a machine follows from the first to the last. The answer to this question depends on the size of the
picture and the number of objects in it. What is the name of the largest city in your country? How long does it take to
get there by train? Write down the numbers from one to ten: one, two, three, four, five, six, seven, eight, nine, ten.
Compare the first picture with the second picture. Is the same object in both pictures? What happens in the video? The
small red circle moves slowly to the right. It does not move. Moving upwards, downwards, leftwards and rightwards. Look
at the image carefully and answer with a single word. If you are not sure, say that you do not know. This is an example
of a sentence with commas, colons: and other marks (such as brackets), "quotes" and numbers like 1984, 3.14 and 42.
Translate the following text into another language. Summarise the main points. Thank you very much for your help! I am
sorry, I cannot do that. You're welcome. Don't worry, it's fine; we'll see what they've got, and I'd be happy to help.
Where does the light come from? Who made this? When was it made? Why is the sky blue? The grass is green, the snow is
white, the night is black, and the sun is yellow. Grey clouds, brown earth, pink flowers, purple hills and orange fire.
user assistant system seconds <0.5 seconds> picture image video shape colour color object thing background digit number
left right top bottom above below centre middle corner side between behind near far large small big little tall short"""
